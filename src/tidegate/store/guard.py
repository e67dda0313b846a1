"""The guard: starts the embedded store, restarts it, and ends it when its last user is gone.

A process of its own, run by path with `-I -S` so that it costs little; it imports nothing of
Tidegate. Three flocks in the data directory say who lives, and the kernel frees them however their
holders die: `users.lock` (shared, each gateway process), `guard.lock` (inherited from whoever
started us), `server.lock` (inherited by the server, its pid inside). A server runs only under
`server.lock`, so there are never two on the same files. On Linux the server also dies with us.
"""

import fcntl
import os
import select
import signal
import sys
import time
from types import FrameType

POLL_S = 0.1
"""How long the store may outlive its last user, and a user may wait for a guard that is leaving."""
BACKOFF_MIN_S = 0.05
BACKOFF_MAX_S = 2.0
STEADY_S = 5.0
"""A server that lived so long is started again without delay."""
STOP_MAX_S = 10.0
"""For an orderly end, which syncs the log of writes; then it is killed, which loses no write."""
ORPHAN_DIES_S = 0.5
LOG_BYTES_MAX = 2**20
PR_SET_PDEATHSIG = 1


class Guard:
    def __init__(self, directory: str, socket_path: str, command: list[str]) -> None:
        self.directory = directory
        self.socket_path = socket_path
        self.command = command
        self.log_path = os.path.join(directory, "valkey.log")
        self.users = os.open(os.path.join(directory, "users.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        self.is_told_to_stop = False
        self.wakeup, write_end = os.pipe()
        os.set_blocking(self.wakeup, False)
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self.stop_asked)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def stop_asked(self, signum: int, frame: FrameType | None) -> None:
        self.is_told_to_stop = True

    def run(self) -> None:
        delay_s = BACKOFF_MIN_S
        while (lock := self.server_lock()) is not None:
            started_at = time.monotonic()
            pid = self.start(lock)
            os.close(lock)
            if self.attend(pid):
                return
            delay_s = BACKOFF_MIN_S if time.monotonic() - started_at > STEADY_S else delay_s * 2
            if self.pause(min(delay_s, BACKOFF_MAX_S)):
                return

    def server_lock(self) -> int | None:
        """Take the lock that a server lives under; None if there is no longer need of one.

        If it is held, a server outlived its guard: it is given time to die, asked to, made to.
        """
        lock = os.open(os.path.join(self.directory, "server.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        steps = [(ORPHAN_DIES_S, self.ask_to_end), (STOP_MAX_S, self.kill_holder)]
        waited_since = time.monotonic()
        while not is_taken(lock, fcntl.LOCK_EX):
            if steps and time.monotonic() - waited_since > steps[0][0]:
                steps.pop(0)[1](lock)
                waited_since = time.monotonic()
            if self.pause(0.02):
                os.close(lock)
                return None
        return lock

    def ask_to_end(self, lock: int) -> None:
        import socket

        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(1.0)
            try:
                peer.connect(self.socket_path)
                peer.sendall(b"SHUTDOWN\r\n")
                peer.recv(256)
            except OSError as error:
                log(f"the server left behind does not hear: {error}")

    def kill_holder(self, lock: int) -> None:
        """Kill the pid in the lock; a pid that was reused is told by its command line."""
        pid = int(os.pread(lock, 20, 0).strip() or b"0")
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                is_ours = os.fsencode(self.socket_path) in file.read()
        except OSError:
            is_ours = sys.platform == "darwin" and pid > 0
        if is_ours:
            log(f"killing the server left behind (pid {pid})")
            os.kill(pid, signal.SIGKILL)

    def start(self, lock: int) -> int:
        """Start the server, which inherits `lock` and nothing else of ours."""
        guard_pid = os.getpid()
        pid = os.fork()
        if pid:
            return pid
        try:
            os.ftruncate(lock, 0)
            os.pwrite(lock, b"%d\n" % os.getpid(), 0)
            os.set_inheritable(lock, True)
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            die_with_parent(guard_pid)
            os.execv(self.command[0], self.command)  # noqa: S606
        except BaseException as error:
            log(f"cannot start {self.command[0]}: {error}")
        finally:
            os._exit(127)

    def attend(self, pid: int) -> bool:
        """Wait until the server is gone (False) or is no longer needed and was ended (True)."""
        while not self.pause(POLL_S):
            if os.waitpid(pid, os.WNOHANG)[0]:
                log(f"the server (pid {pid}) died; starting it again")
                return False
            keep_bounded(self.log_path)
        self.end(pid)
        return True

    def end(self, pid: int) -> None:
        os.kill(pid, signal.SIGTERM)
        give_up_at = time.monotonic() + STOP_MAX_S
        while not os.waitpid(pid, os.WNOHANG)[0]:
            if time.monotonic() > give_up_at:
                os.kill(pid, signal.SIGKILL)
            self.wait(0.02)

    def pause(self, seconds: float) -> bool:
        """Wait, at most until a child ends; return whether the server is no longer needed."""
        self.wait(seconds)
        return self.is_told_to_stop or is_taken(self.users, fcntl.LOCK_EX)

    def wait(self, seconds: float) -> None:
        if select.select([self.wakeup], [], [], seconds)[0]:
            os.read(self.wakeup, 512)


def is_taken(descriptor: int, kind: int) -> bool:
    """Take a flock if it is free; whether we hold it now."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def keep_bounded(path: str) -> None:
    """Keep at most two files of LOG_BYTES_MAX: the server opens its log anew for each line."""
    try:
        if os.stat(path).st_size > LOG_BYTES_MAX:
            os.replace(path, path + ".1")
    except FileNotFoundError:
        return


def die_with_parent(parent_pid: int) -> None:
    """Linux: have the kernel kill this process when the guard dies, even now."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(0)


def log(message: str) -> None:
    os.write(2, f"guard: {message}\n".encode())


def main() -> None:
    """Arguments: the descriptor of guard.lock, the data directory, the socket, the command."""
    lock, directory, socket_path = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    os.umask(0o077)
    if os.fork():
        # Who started us need not wait for us: init does.
        os._exit(0)
    os.set_inheritable(lock, False)
    os.ftruncate(lock, 0)
    os.pwrite(lock, b"%d\n" % os.getpid(), 0)
    Guard(directory, socket_path, sys.argv[4:]).run()


if __name__ == "__main__":
    main()
