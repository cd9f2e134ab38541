package sinktest

import "syscall"

// endWithParent ends a server whose test was killed.
func endWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGQUIT }
