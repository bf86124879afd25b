#include "shim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// shim_silence stops HDF5 from printing errors, on this thread.
void shim_silence(void) { H5Eset_auto2(H5E_DEFAULT, NULL, NULL); }

struct reason {
	char *text;
	size_t size;
};

static herr_t keep_first(unsigned n, const H5E_error2_t *error, void *arg) {
	struct reason *r = arg;
	if (n == 0 && error->desc != NULL)
		snprintf(r->text, r->size, "%s", error->desc);
	return 0;
}

// shim_reason is the most specific message of the error stack, with errno where there is one.
void shim_reason(char *text, size_t size) {
	struct reason r = {text, size};
	text[0] = 0;
	H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_first, &r);
}

// HDF5 refuses an image by the name of a file that exists: no file can have this one.
#define NAME "/dev/null/image"

// in_memory is access to a file that never touches the disk and takes its objects with it
// when it is closed.
static hid_t in_memory(const void *image, size_t size) {
	hid_t access = H5Pcreate(H5P_FILE_ACCESS);
	if (access < 0)
		return access;
	if (H5Pset_fapl_core(access, 1 << 16, 0) < 0 || H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) < 0 ||
	    (image != NULL && H5Pset_file_image(access, (void *)image, size) < 0)) {
		H5Pclose(access);
		return -1;
	}
	return access;
}

// A call that succeeds clears the error stack, so that nothing is closed after a failure
// before the reason is read: strong closing frees objects, and done the rest.
#define KEEP_REASON(call)                     \
	do {                                      \
		hid_t stack = H5Eget_current_stack(); \
		call;                                 \
		H5Eset_current_stack(stack);          \
	} while (0)

hid_t shim_create(void) {
	hid_t access = in_memory(NULL, 0);
	if (access < 0)
		return access;
	hid_t file = H5Fcreate(NAME, H5F_ACC_TRUNC, H5P_DEFAULT, access);
	KEEP_REASON(H5Pclose(access));
	return file;
}

// shim_open opens a copy of the image.
hid_t shim_open(const void *image, size_t size) {
	hid_t access = in_memory(image, size);
	if (access < 0)
		return access;
	hid_t file = H5Fopen(NAME, H5F_ACC_RDONLY, access);
	KEEP_REASON(H5Pclose(access));
	return file;
}

static hid_t space_of(int rank, const hsize_t *dims) {
	return rank == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(rank, dims, NULL);
}

// shim_write makes a contiguous dataset without a time stamp; data has the type of the file.
herr_t shim_write(hid_t at, const char *name, hid_t type, int rank, const hsize_t *dims, const void *data) {
	hid_t space = space_of(rank, dims);
	hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
	hid_t set = -1;
	herr_t status = -1;
	if (space >= 0 && creation >= 0 && H5Pset_obj_track_times(creation, 0) >= 0)
		set = H5Dcreate2(at, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
	if (set >= 0)
		status = H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
	if (status >= 0)
		status = H5Dclose(set);
	else if (set >= 0)
		KEEP_REASON(H5Dclose(set));
	KEEP_REASON(H5Pclose(creation));
	KEEP_REASON(H5Sclose(space));
	return status;
}

// utf8 is the type of the strings that h5py writes: variable length, UTF-8.
static hid_t utf8(void) {
	hid_t type = H5Tcopy(H5T_C_S1);
	if (type >= 0 && (H5Tset_size(type, H5T_VARIABLE) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0)) {
		H5Tclose(type);
		return -1;
	}
	return type;
}

herr_t shim_write_text(hid_t at, const char *name, const char *text) {
	hid_t type = utf8();
	if (type < 0)
		return -1;
	herr_t status = shim_write(at, name, type, 0, NULL, &text);
	KEEP_REASON(H5Tclose(type));
	return status;
}

herr_t shim_write_attribute(hid_t at, const char *name, const char *text) {
	hid_t type = utf8();
	hid_t space = H5Screate(H5S_SCALAR);
	hid_t attribute = -1;
	herr_t status = -1;
	if (type >= 0 && space >= 0)
		attribute = H5Acreate2(at, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
	if (attribute >= 0) {
		status = H5Awrite(attribute, type, &text);
		KEEP_REASON(H5Aclose(attribute));
	}
	KEEP_REASON(H5Sclose(space));
	KEEP_REASON(H5Tclose(type));
	return status;
}

static herr_t read_any(hid_t object, hid_t type, void *to) {
	if (H5Iget_type(object) == H5I_ATTR)
		return H5Aread(object, type, to);
	return H5Dread(object, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, to);
}

// shim_text is the string in a dataset or attribute that holds one, of fixed length (at
// most limit) or variable; the caller frees it.
char *shim_text(hid_t object, size_t limit) {
	int attribute = H5Iget_type(object) == H5I_ATTR;
	hid_t type = attribute ? H5Aget_type(object) : H5Dget_type(object);
	hid_t space = attribute ? H5Aget_space(object) : H5Dget_space(object);
	char *text = NULL;
	if (type >= 0 && space >= 0 && H5Tget_class(type) == H5T_STRING && H5Sget_simple_extent_npoints(space) == 1) {
		if (H5Tis_variable_str(type) > 0) {
			char *s = NULL;
			if (read_any(object, type, &s) >= 0) {
				text = strdup(s != NULL ? s : "");
				H5Dvlen_reclaim(type, space, H5P_DEFAULT, &s);
			}
		} else if (H5Tget_size(type) <= limit) {
			size_t size = H5Tget_size(type);
			text = calloc(size + 1, 1);
			if (text != NULL && read_any(object, type, text) < 0) {
				free(text);
				text = NULL;
			}
			if (text != NULL && H5Tget_strpad(type) == H5T_STR_SPACEPAD)
				while (size > 0 && text[size - 1] == ' ')
					text[--size] = 0;
		}
	}
	KEEP_REASON(H5Sclose(space));
	KEEP_REASON(H5Tclose(type));
	return text;
}

static herr_t count(hid_t at, const char *name, const H5A_info_t *info, void *n) {
	++*(int *)n;
	return 0;
}

// shim_attributes is the number of an object's attributes.
int shim_attributes(hid_t at) {
	int n = 0;
	return H5Aiterate2(at, H5_INDEX_NAME, H5_ITER_INC, NULL, count, &n) < 0 ? -1 : n;
}

// shim_open_attribute opens an object's attribute by its place in the order of names.
hid_t shim_open_attribute(hid_t at, hsize_t index) {
	return H5Aopen_by_idx(at, ".", H5_INDEX_NAME, H5_ITER_INC, index, H5P_DEFAULT, H5P_DEFAULT);
}

// shim_open_ids is the number of identifiers in use among those first made of every type:
// HDF5 counts only types of its users, but its identifiers are a type and a running number.
int shim_open_ids(void) {
	int total = 0;
	for (hid_t type = H5I_FILE; type < H5I_NTYPES; type++)
		for (hid_t n = 0; n < 1 << 16; n++)
			total += H5Iis_valid((type << 56) + n) > 0;
	return total;
}
