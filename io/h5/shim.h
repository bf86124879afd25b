// What gonum.org/v1/hdf5 lacks or does unsafely. Every function returns a negative number
// or NULL where HDF5 fails, and leaves HDF5's error stack for shim_reason.

#include <hdf5.h>

void shim_silence(void);
void shim_reason(char *text, size_t size);

hid_t shim_create(void);
hid_t shim_open(const void *image, size_t size);

herr_t shim_write(hid_t at, const char *name, hid_t type, int rank, const hsize_t *dims, const void *data);
herr_t shim_write_text(hid_t at, const char *name, const char *text);
herr_t shim_write_attribute(hid_t at, const char *name, const char *text);

char *shim_text(hid_t object, size_t limit);
int shim_attributes(hid_t at);
hid_t shim_open_attribute(hid_t at, hsize_t index);

int shim_open_ids(void);
