"""What the person sees: lines and progress on stderr, questions, and the same lines in a log."""

import sys
import time

from wheelferry.client.common.errors import BadInput

_MARKS = {"ok": "ok", "note": "note", "warning": "WARN", "problem": "NO"}


class Console(object):
    """Writes to stderr, and to the log once there is one; asks only where somebody can answer."""

    def __init__(self, unattended=False, quiet=False):
        self.unattended = unattended
        self.quiet = quiet
        self.log = Log()

    def say(self, text=""):
        """One line, or several, for the person and the log."""
        self.log.write(text + "\n")
        if not self.quiet:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def warn(self, text):
        """A line that is shown even to those who want no progress."""
        self.log.write("WARNING: %s\n" % text)
        sys.stderr.write("WARNING: %s\n" % text)

    def finding(self, finding):
        """One line of preflight, with what to do about it."""
        self.say("  %-4s  %s" % (_MARKS[finding.level], finding.message))
        if finding.remedy:
            self.say("        -> %s" % finding.remedy)

    def ask(self, question, default):
        """The answer to a question, or its default when the person just presses Enter."""
        if self.unattended or sys.stdin is None or not sys.stdin.isatty():
            raise BadInput(
                "there is nobody to ask: %s" % question,
                hint="give --prefix DIR and --yes for an unattended installation",
            )
        sys.stderr.write("%s [%s] " % (question, default))
        sys.stderr.flush()
        answer = sys.stdin.readline()
        if not answer:
            raise BadInput("no answer to: %s" % question)
        return answer.strip() or default

    def task(self, title, total=None):
        """Progress of one step, to be used with `with`; `advance` it by bytes or things."""
        return Task(self, title, total)


class Task(object):
    """A step under way: a line that is renewed on a terminal, and one line with its seconds at the end."""

    def __init__(self, console, title, total):
        self.console = console
        self.title = title
        self.total = total
        self.done = 0
        self.shown = 0.0
        self.width = 0  # of the line that is shown
        self.seconds = 0.0
        self.live = sys.stderr.isatty() and not console.quiet

    def __enter__(self):
        self.started = time.monotonic()
        if not self.live:
            self.console.say("%s ..." % self.title)
        else:
            self._show("")
        return self

    def advance(self, amount=1):
        """So much more is done."""
        self.done += amount
        if self.live and time.monotonic() - self.shown > 0.1:
            self._show(" %d%%" % min(100, 100 * self.done // self.total) if self.total else "")

    def __exit__(self, kind, _error, _trace):
        self.seconds = round(time.monotonic() - self.started, 1)
        if self.live:
            self._renew("")
            sys.stderr.write("\r")
        if kind is None:
            self.console.say("%s: %.1f s" % (self.title, self.seconds))
        else:
            self.console.say("%s: not completed" % self.title)

    def _show(self, state):
        self.shown = time.monotonic()
        self._renew("%s ...%s" % (self.title, state))

    def _renew(self, line):
        # blanks, because consoles of Windows show escape sequences
        sys.stderr.write("\r%s" % line.ljust(self.width))
        sys.stderr.flush()
        self.width = len(line)


class Log(object):
    """The installation's log. What is written before the prefix exists is kept until it does."""

    def __init__(self):
        self._stream = None
        self._kept = []

    def open(self, path):
        """Append to `path` from here on, with what was kept first."""
        self._stream = open(path, "a", encoding="utf-8", errors="replace")  # noqa: SIM115 -- closed by close
        self._stream.write("".join(self._kept))
        self._kept = []

    def write(self, text):
        """Add `text`; on the disk at once, because what matters most is the line before a crash."""
        if self._stream is None:
            self._kept.append(text)
            return
        self._stream.write(text)
        self._stream.flush()

    def close(self):
        """Close the file; later text is kept, not written."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
