// Package h5 reads and writes the HDF5 files of a run: directions, shards, surfaces and
// projections, and reads anybody's arrays. It is the only user of HDF5.
//
// Files are bytes: they are built and opened in memory, so that HDF5 locks and writes
// nothing on the disk. There are no time stamps in them and everything is written in a
// fixed order: equal content is equal bytes. After the image HDF5 itself sees, each of
// our files has a seal, "lsrunSHA" and the SHA-256 of the image: what was damaged is refused
// before HDF5 reads it. Every error of decoding is shard.ErrCorrupt.
//
// Cut files of others are refused too, but where their header is damaged elsewhere HDF5 1.10
// may crash: nothing in a process can prevent that.
//
// All of it may be called from several goroutines; HDF5 works for one at a time.
package h5
