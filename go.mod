module lsrun

go 1.26.8
