"""The command line: `inlay run`, `check`, `nodes`, `draw`, `doctor` …"""
