package access

import (
	"bytes"
	"encoding/base64"
)

// maxBasic bounds the decoded credentials of Basic, in bytes: a key behind a
// user's name, which is ignored.
const maxBasic = 512

// strict takes one form of a text only. It is read only.
var strict = base64.StdEncoding.Strict()

// credentials returns the token of a Bearer header, or the password of a
// Basic one. It is a part of header, or of buf. An empty header has no
// credentials, and neither an error.
func credentials(header []byte, buf *[maxBasic]byte) (token []byte, basic bool, ok bool) {
	header = bytes.Trim(header, " \t")
	if len(header) == 0 {
		return nil, false, true
	}
	scheme, rest, found := bytes.Cut(header, []byte{' '})
	rest = bytes.Trim(rest, " \t")
	if !found || len(rest) == 0 {
		return nil, false, false
	}
	switch {
	case bytes.EqualFold(scheme, []byte("bearer")):
		// One token: white space inside it would make it a matter of opinion.
		return rest, false, bytes.IndexByte(rest, ' ') < 0 && bytes.IndexByte(rest, '\t') < 0 && bytes.IndexByte(rest, ',') < 0
	case bytes.EqualFold(scheme, []byte("basic")):
		if base64.StdEncoding.DecodedLen(len(rest)) > len(buf) {
			return nil, true, false
		}
		n, err := strict.Decode(buf[:], rest)
		if err != nil {
			return nil, true, false
		}
		_, password, found := bytes.Cut(buf[:n], []byte{':'})
		return password, true, found && len(password) > 0
	}
	return nil, false, false
}
