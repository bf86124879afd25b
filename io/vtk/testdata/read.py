# What VTK's own reader finds in a .vtp file: points, polygons, most sides, range and sum of zvalue.
import sys
import vtk

problems = []
reader = vtk.vtkXMLPolyDataReader()
reader.SetFileName(sys.argv[1])
reader.AddObserver("ErrorEvent", lambda *_: problems.append("error"))
reader.AddObserver("WarningEvent", lambda *_: problems.append("warning"))
reader.Update()
mesh = reader.GetOutput()
z = mesh.GetPointData().GetArray("zvalue")
if problems or z is None or mesh.GetPointData().GetArray("train_loss") is None or mesh.GetCellData().GetArray("averaged zvalue") is None:
    sys.exit(f"{problems} {mesh}")
if any(mesh.GetPoint(k)[2] != z.GetValue(k) for k in range(mesh.GetNumberOfPoints())):
    sys.exit("zvalue is not the height")
print(mesh.GetNumberOfPoints(), mesh.GetNumberOfPolys(), mesh.GetPolys().GetMaxCellSize(), *z.GetRange(),
      sum(z.GetValue(k) for k in range(z.GetNumberOfTuples())))
