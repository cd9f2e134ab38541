package access

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"math/big"
)

const (
	keyPrefix      = "pst_"
	secretBytes    = 32
	secretDigits   = 43 // of base62, for 32 bytes
	checksumDigits = 6  // of base62, for 32 bits
	maxIDBytes     = 32
	maxKeyBytes    = len(keyPrefix) + maxIDBytes + 1 + secretDigits + checksumDigits
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// What is wrong with the text of a key. They repeat nothing of it.
var (
	errNotKey   = errors.New("this is not a key: a key is pst_, its id, _, and 49 letters and digits")
	errChecksum = errors.New("the key has a typo, or something of it is missing: its checksum does not fit")
)

// CheckFormat returns the id in the text of a key, or what is wrong with the
// text. It knows no other key and needs none. The id is a part of text.
func CheckFormat(text []byte) (id []byte, err error) {
	if len(text) > maxKeyBytes || len(text) < len(keyPrefix) || string(text[:len(keyPrefix)]) != keyPrefix {
		return nil, errNotKey
	}
	end := len(text) - secretDigits - checksumDigits - 1 // of the id
	if end <= len(keyPrefix) || text[end] != '_' {
		return nil, errNotKey
	}
	id = text[len(keyPrefix):end]
	if !validID(id) {
		return nil, errNotKey
	}
	for _, c := range text[end+1:] {
		if !isDigit62(c) {
			return nil, errNotKey
		}
	}
	body := text[:len(text)-checksumDigits]
	want := checksum(body)
	if string(want[:]) != string(text[len(body):]) {
		return nil, errChecksum
	}
	return id, nil
}

// validID reports whether id is 1 to 32 lower case letters, digits and inner
// hyphens.
func validID[T []byte | string](id T) bool {
	if len(id) == 0 || len(id) > maxIDBytes {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case c == '-' && i > 0 && i < len(id)-1:
		default:
			return false
		}
	}
	return true
}

func isDigit62(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

func checksum(body []byte) (digits [checksumDigits]byte) {
	// crc32.ChecksumIEEE, but for that its argument escapes to the heap.
	sum := ^uint32(0)
	for _, c := range body {
		sum = crc32.IEEETable[byte(sum)^c] ^ sum>>8
	}
	sum = ^sum
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = base62[sum%62]
		sum /= 62
	}
	return digits
}

// newKey returns the text of a new key. Its secret comes from the operating
// system.
func newKey(id string) (string, error) {
	if !validID(id) {
		return "", fmt.Errorf("id: must be 1 to %d lower case letters, digits and inner hyphens, got %.64q", maxIDBytes, id)
	}
	var secret [secretBytes]byte
	_, _ = rand.Read(secret[:]) // it never fails
	n, base := new(big.Int).SetBytes(secret[:]), big.NewInt(62)
	var digits [secretDigits]byte
	for i := len(digits) - 1; i >= 0; i-- {
		var digit big.Int
		n.DivMod(n, base, &digit)
		digits[i] = base62[digit.Int64()]
	}
	text := append([]byte(keyPrefix+id+"_"), digits[:]...)
	sum := checksum(text)
	return string(append(text, sum[:]...)), nil
}

// newID returns a random id.
func newID() string {
	const letters = "abcdefghjkmnpqrstuvwxyz23456789" // none that look alike
	var random [10]byte
	_, _ = rand.Read(random[:]) // it never fails
	for i := range random {
		random[i] = letters[int(random[i])%len(letters)]
	}
	return string(random[:])
}

// hashOf returns what is stored of a key.
func hashOf(text []byte) [sha256.Size]byte { return sha256.Sum256(text) }
