package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// needRoot skips where nothing can be mounted. CI runs as root and must not
// skip.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("this test mounts file systems and needs root, and CI must not skip it")
	}
	t.Skip("mounts file systems: needs root")
}

// mountTmpfs mounts a small file system in memory.
func mountTmpfs(t *testing.T, dir, size string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatalf("cannot mount a tmpfs on %s: %v", dir, err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
}

// run runs a command that must succeed.
func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// disk is an ext4 file system in a file, which can lose its power.
type disk struct {
	t     *testing.T
	image string
	dir   string
}

func newDisk(t *testing.T, megabytes string) *disk {
	t.Helper()
	base := t.TempDir()
	d := &disk{t: t, image: filepath.Join(base, "image"), dir: filepath.Join(base, "mnt")}
	if err := os.Mkdir(d.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "truncate", "-s", megabytes+"M", d.image)
	run(t, "mkfs.ext4", "-q", d.image)
	d.mount()
	t.Cleanup(func() { exec.Command("umount", "-l", d.dir).Run() })
	return d
}

func (d *disk) mount()   { d.t.Helper(); run(d.t, "mount", "-o", "loop", d.image, d.dir) }
func (d *disk) unmount() { d.t.Helper(); run(d.t, "umount", d.dir) }

// cutPower stops the file system at once, without a flush of its journal
// (FS_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH).
func (d *disk) cutPower() {
	d.t.Helper()
	f, err := os.Open(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	if err := shutdownFileSystem(f.Fd()); err != nil {
		d.t.Fatalf("FS_IOC_SHUTDOWN: %v", err)
	}
}
