package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// asRoot are the ways for root to run PostgreSQL, which refuses to be root. The first that this machine allows
// is taken.
var asRoot = []func() identity{inUserNamespace, asOtherUser}

// identify decides as whom PostgreSQL's programs run.
func identify(ctx context.Context, bin Binaries, t thread) (identity, error) {
	if os.Geteuid() != 0 {
		return identity{attr: child(syscall.SysProcAttr{})}, nil
	}
	var errs []error
	for _, way := range asRoot {
		c := cluster{bin: bin, as: way()}
		err := c.run(ctx, t, "postgres", "--version")
		if err == nil {
			return c.as, nil
		}
		errs = append(errs, err)
	}
	return identity{}, fmt.Errorf("PostgreSQL refuses to run as root, and this machine lets root neither make a user namespace nor become another user: run as an ordinary user: %w", errors.Join(errs...))
}

// child binds a process to us: it dies when we die, however we die, and does not get the terminal's ^C, so that
// the services can end before their database does.
func child(attr syscall.SysProcAttr) *syscall.SysProcAttr {
	// SIGQUIT is PostgreSQL's immediate shutdown. SIGKILL would leave its backends behind.
	attr.Pdeathsig = syscall.SIGQUIT
	attr.Setpgid = true
	return &attr
}

// inUserNamespace lets root be uid 1000 in a namespace of its own: outside the files stay root's, so that any
// directory will do.
func inUserNamespace() identity {
	const inside = 1000
	return identity{attr: child(syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: inside, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: inside, HostID: os.Getegid(), Size: 1}},
	})}
}

// asOtherUser drops to "postgres" or "nobody" where namespaces are forbidden, as in most containers. The one
// capability that is kept lets the server reach its files below directories that are root's alone, like /root.
func asOtherUser() identity {
	const capDACOverride = 1
	uid, gid := uint32(65534), uint32(65534)
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			uid, gid = number(u.Uid), number(u.Gid)
			break
		}
	}
	return identity{
		attr: child(syscall.SysProcAttr{
			Credential:  &syscall.Credential{Uid: uid, Gid: gid},
			AmbientCaps: []uintptr{capDACOverride},
		}),
		// The capability works from the first program on, not yet for finding that one.
		prefix: []string{"/usr/bin/env"},
	}
}

func number(id string) uint32 {
	n, _ := strconv.ParseUint(id, 10, 32)
	return uint32(n)
}

// processes lists the server processes that carry the cluster's name: the postmaster in its arguments, the
// others in their titles.
func processes(clusterName string) []int {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	var pids []int
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err == nil && strings.Contains(title(pid), clusterName) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// isPostgres reports whether a living process of PostgreSQL has this id.
func isPostgres(pid int) bool { return title(pid) != "" }

// title is the command line of a process of PostgreSQL. It is empty for any other, and for one that is dead but
// not yet buried by its parent, which kill(2) takes for living.
func title(pid int) string {
	dir := "/proc/" + strconv.Itoa(pid)
	name, err := os.ReadFile(dir + "/comm")
	if err != nil || strings.TrimSpace(string(name)) != "postgres" {
		return ""
	}
	line, _ := os.ReadFile(dir + "/cmdline")
	return string(line)
}
