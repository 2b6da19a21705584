"""A fuzz harness: files as a stranger would send them, the public doors, and what must never happen behind these.

`targets` makes a case of a seed, `doors` asks inlay about it, `watch` sees what the process does meanwhile, `verdict`
says whether that was allowed, `server` runs many cases in forked processes, and `shrink` makes a finding small.
It needs Linux: fork, inotify and /proc. CONTRIBUTING.md describes its use.
"""
