package verify

import (
	"fmt"
	"os"

	"filippo.io/age"
)

// Keys are private keys that open encrypted archives.
type Keys []age.Identity

// Identities reads keys from a file as age-keygen writes it.
func Identities(path string) (Keys, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	identities, err := age.ParseIdentities(file)
	if err != nil {
		return nil, fmt.Errorf("%s is no file of age identities, as age-keygen writes it: %w", path, err)
	}
	return identities, nil
}
