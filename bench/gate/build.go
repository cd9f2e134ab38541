package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// repo is the repository whose revisions are compared.
type repo struct {
	ctx context.Context
	dir string
}

func (r repo) command(dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(r.ctx, name, args...)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out)), err
}

func (r repo) git(args ...string) (string, error) { return r.command(r.dir, "git", args...) }

// base returns the commit that want stands for. Empty stands for the merge
// base with main, or what is before it on main itself; the result is empty
// where there is none.
func (r repo) base(want string) (string, error) {
	if want != "" {
		return r.git("rev-parse", "--verify", want+"^{commit}")
	}
	head, err := r.git("rev-parse", "--verify", "HEAD^{commit}")
	if err != nil {
		return "", err
	}
	for _, main := range []string{"main", "origin/main"} {
		if base, err := r.git("merge-base", "HEAD", main); err == nil && base != head {
			return base, nil
		}
	}
	base, err := r.git("rev-parse", "--verify", "--quiet", "HEAD~1^{commit}")
	if err != nil {
		return "", r.ctx.Err()
	}
	return base, nil
}

// describe names the working tree.
func (r repo) describe() string {
	head, err := r.git("describe", "--always", "--dirty", "--abbrev=12")
	if err != nil {
		return "working tree"
	}
	return head
}

// buildBase builds the benchmarks of the commit in a worktree below dir. A
// commit without benchmarks gets those of the working tree if lend is set;
// where that cannot be, why tells.
func (r repo) buildBase(commit, dir string, lend bool) (bin, why string, err error) {
	tree := filepath.Join(dir, "base")
	if err := r.worktree(commit, tree); err != nil {
		return "", "", err
	}
	defer func() { err = errors.Join(err, r.removeWorktree(tree)) }()
	bin = filepath.Join(dir, "base.test")
	if found, _ := filepath.Glob(filepath.Join(tree, "bench", "*_test.go")); len(found) > 0 {
		return bin, "", r.build(tree, bin)
	}
	if !lend {
		return "", fmt.Sprintf("%.12s has no benchmarks", commit), nil
	}
	files, err := filepath.Glob(filepath.Join(r.dir, "bench", "*.go"))
	if err != nil {
		return "", "", err
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err == nil {
			err = os.MkdirAll(filepath.Join(tree, "bench"), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(tree, "bench", filepath.Base(f)), text, 0o644)
		}
		if err != nil {
			return "", "", err
		}
	}
	if err := r.build(tree, bin); err != nil {
		return "", fmt.Sprintf("%.12s has no benchmarks, and those of the working tree do not build there", commit), nil
	}
	return bin, "", nil
}

func (r repo) worktree(commit, tree string) error {
	_, err := r.git("worktree", "add", "--quiet", "--detach", tree, commit)
	return err
}

func (r repo) removeWorktree(tree string) error {
	_, err := repo{context.WithoutCancel(r.ctx), r.dir}.git("worktree", "remove", "--force", tree)
	return err
}

// build builds the benchmarks of the tree. Without paths in them, binaries of
// different trees differ in their code only, and the build cache serves both.
func (r repo) build(tree, bin string) error {
	_, err := r.command(tree, "go", "test", "-trimpath", "-c", "-o", bin, "./bench")
	return err
}
