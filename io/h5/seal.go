package h5

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"lsrun/shard"
)

// sealMark stands between an image and its digest. HDF5 ignores what follows the end of
// a file that its header gives, and cuts it off when somebody changes the file.
var sealMark = []byte("lsrunSHA")

// seal appends the image's SHA-256, so that a damaged file is refused before HDF5, which
// checks little, sees it.
func seal(image []byte) []byte {
	sum := sha256.Sum256(image)
	return append(append(image, sealMark...), sum[:]...)
}

// unseal returns the image in data. A file without a seal is somebody else's.
func unseal(data []byte) ([]byte, error) {
	at := len(data) - sha256.Size - len(sealMark)
	if at < 0 || !bytes.Equal(data[at:at+len(sealMark)], sealMark) {
		return data, nil
	}
	image := data[:at]
	if sum := sha256.Sum256(image); !bytes.Equal(sum[:], data[at+len(sealMark):]) {
		return nil, fmt.Errorf("%w: the file was changed or damaged: its content does not have the SHA-256 that its end gives", shard.ErrCorrupt)
	}
	return image, nil
}

// Sealed says whether data ends with a seal, right or wrong.
func Sealed(data []byte) bool {
	image, err := unseal(data)
	return err != nil || len(image) < len(data)
}
