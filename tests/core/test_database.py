"""inlay's databases: many processes and threads at once, a kill at any instant, and whatever may stand in the place."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from inlay.graph_runtime.core import database as database_module
from inlay.graph_runtime.core.database import Database, DatabaseUnusable
from inlay.graph_runtime.core.notices import collect_notices

STEPS = ("CREATE TABLE words (word TEXT PRIMARY KEY, number INTEGER NOT NULL)",)
WRITER = f"""
import sys, time
from pathlib import Path
from inlay.graph_runtime.core.database import Database
database = Database("words.sqlite", {STEPS!r}, folder=lambda: Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    with database.writing() as rows:
        rows.execute("INSERT INTO words VALUES (?, ?)", (sys.argv[2] + "-" + str(number), number))
        rows.execute("INSERT INTO words VALUES (?, ?)", (sys.argv[2] + "+" + str(number), number))
    print(number, flush=True)
"""


@pytest.fixture
def words(tmp_path):
    database = Database("words.sqlite", STEPS, folder=lambda: tmp_path / "home")
    yield database
    database.close()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(database_module, "WAIT", 0.2)


def add(database, word, number=0):
    with database.writing() as rows:
        rows.execute("INSERT OR REPLACE INTO words VALUES (?, ?)", (word, number))


def interrupted(database):
    add(database, "one")
    with database.writing() as rows:
        rows.execute("INSERT INTO words VALUES ('two', 2)")
        raise KeyboardInterrupt


def all_of(database):
    with database.reading() as rows:
        return [word for (word,) in rows.execute("SELECT word FROM words ORDER BY word")]


def start(folder, name, count, **more):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), name, str(count)], stdout=subprocess.PIPE, text=True, **more
    )


def test_what_is_written_is_there_for_the_next_process_and_an_undone_block_is_not(words):
    with pytest.raises(KeyboardInterrupt):
        interrupted(words)
    assert all_of(words) == ["one"]
    with sqlite3.connect(words.path) as other:  # SQLite's own view, through another connection
        assert other.execute("SELECT * FROM words").fetchall() == [("one", 0)]
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()


def test_a_mistake_in_a_statement_is_the_callers_own(words):
    add(words, "one")
    with pytest.raises(sqlite3.IntegrityError), words.writing() as rows:
        rows.execute("INSERT INTO words VALUES ('one', 1)")
    assert all_of(words) == ["one"]


def test_eight_processes_at_once_lose_nothing(words):
    running = [start(words.path.parent, f"p{number}", 25) for number in range(8)]
    for one in running:
        one.communicate(timeout=60)
    assert [one.returncode for one in running] == [0] * 8
    assert len(all_of(words)) == 8 * 25 * 2


def test_threads_share_a_database(words):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: add(words, f"{number}"), range(200)))
    assert sorted(map(int, all_of(words))) == list(range(200))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_kill_amid_transactions_loses_nothing_announced_and_leaves_no_half(words):
    announced = []
    for number, delay in enumerate((0.0, 0.01, 0.03, 0.05)):
        running = start(words.path.parent, f"p{number}", 10**6)
        announced.append((number, running.stdout.readline()))
        time.sleep(delay)
        running.send_signal(signal.SIGKILL)
        announced += [(number, line) for line in running.communicate()[0].splitlines(keepends=True)]
    found = set(all_of(words))
    for number, line in announced:
        if line.endswith("\n"):
            assert f"p{number}-{line.strip()}" in found
    assert {word.replace("-", "+") for word in found} <= found  # both rows of a transaction, or none
    with words.reading() as rows:
        assert rows.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_has_its_own_connection(words):
    add(words, "parent")
    for word in ("first", "second"):
        child = os.fork()
        if not child:
            try:
                add(words, word)
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        add(words, f"parent after {word}")
    assert all_of(words) == ["first", "parent", "parent after first", "parent after second", "second"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_while_another_thread_writes_does_not_wait_for_it(words):
    add(words, "parent")
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with words.writing():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()
    child = os.fork()
    if not child:
        os._exit(0 if all_of(words) == ["parent"] else 1)
    assert os.waitpid(child, 0)[1] == 0
    leave.set()
    thread.join()


RUBBISH = {
    "text": b"no database " * 200,
    "empty": b"",
    "other header": b"SQLite format 3\0" + bytes(range(256)) * 40,
}


@pytest.mark.parametrize("content", RUBBISH.values(), ids=RUBBISH)
def test_rubbish_is_set_aside_and_a_new_database_begun(words, content):
    words.path.parent.mkdir()
    words.path.write_bytes(content)
    with collect_notices() as notices:
        add(words, "one")
    assert all_of(words) == ["one"]
    if content:
        assert (words.path.parent / "words.sqlite.damaged").read_bytes() == content
        assert "set aside" in notices[0]


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_truncated_database_is_set_aside(words, share):
    for number in range(300):
        add(words, f"{number} " + "x" * 200)
    words.close()
    os.truncate(words.path, int(words.path.stat().st_size * share))
    with contextlib.suppress(DatabaseUnusable):  # where the damage shows only in use, that use fails by name
        all_of(words)
    add(words, "new")
    assert all_of(words) == ["new"]
    assert (words.path.parent / "words.sqlite.damaged").exists()


def test_tables_of_another_program_are_set_aside_whole(words):
    words.path.parent.mkdir()
    with sqlite3.connect(words.path) as other:
        other.execute("CREATE TABLE words (mine TEXT)")
        other.execute("INSERT INTO words VALUES ('precious')")
    other.close()
    add(words, "one")
    assert all_of(words) == ["one"]
    with sqlite3.connect(f"{words.path}.damaged") as other:
        assert other.execute("SELECT * FROM words").fetchall() == [("precious",)]
    other.close()


def test_one_of_several_processes_sets_a_damaged_database_aside(words):
    words.path.parent.mkdir()
    words.path.write_bytes(b"rubbish " * 1000)
    running = [start(words.path.parent, f"p{number}", 5) for number in range(6)]
    for one in running:
        one.communicate(timeout=60)
    assert [one.returncode for one in running] == [0] * 6
    assert len(all_of(words)) == 6 * 5 * 2
    assert (words.path.parent / "words.sqlite.damaged").read_bytes() == b"rubbish " * 1000


@pytest.mark.parametrize("end", ["", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "broken link", "device"])
def test_what_is_no_file_is_refused_at_once(words, kind, end):
    words.path.parent.mkdir()
    place = words.path.with_name(words.path.name + end)
    if kind == "folder":
        place.mkdir()
    elif kind == "broken link":
        place.symlink_to(words.path.parent / "nowhere")
    elif kind == "device":
        place.symlink_to("/dev/zero")
    else:
        os.mkfifo(place)
    began = time.monotonic()
    for _ in range(3):
        with pytest.raises(DatabaseUnusable) as caught:
            add(words, "one")
    assert time.monotonic() - began < 2
    assert str(words.path) in str(caught.value)
    assert os.listdir(words.path.parent) == [place.name]


@pytest.mark.parametrize("kind", ["file", "pipe", "broken link"])
def test_a_home_that_is_no_folder_is_refused_at_once(tmp_path, words, kind):
    home = tmp_path / "home"
    if kind == "file":
        home.write_text("mine")
    elif kind == "pipe":
        os.mkfifo(home)
    else:
        home.symlink_to(tmp_path / "nowhere" / "x")
    with pytest.raises(DatabaseUnusable):
        all_of(words)


def test_a_locked_database_is_waited_for_once_and_read_meanwhile(words, impatient):
    add(words, "one")
    words.close()
    other = sqlite3.connect(words.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    for _ in range(10):
        with pytest.raises(DatabaseUnusable, match="locked"):
            add(words, "two")
    assert time.monotonic() - began < 1
    assert all_of(words) == ["one"]
    other.execute("ROLLBACK")
    other.close()
    words._busy_until = 0
    add(words, "two")
    assert all_of(words) == ["one", "two"]


def test_a_database_of_a_newer_inlay_is_left_as_it_is(words):
    newer = Database("words.sqlite", (*STEPS, "ALTER TABLE words ADD COLUMN more TEXT"), folder=words._folder)
    add(words, "one")
    with newer.writing() as rows:
        rows.execute("INSERT INTO words VALUES ('two', 2, 'more')")
    newer.close()
    words.close()
    before = words.path.read_bytes()
    with pytest.raises(DatabaseUnusable, match="newer"):
        add(words, "three")
    assert words.path.read_bytes() == before
    assert all_of(newer) == ["one", "two"]
    newer.close()


def test_an_older_database_is_brought_up_to_date(words):
    add(words, "one")
    newer = Database("words.sqlite", (*STEPS, "ALTER TABLE words ADD COLUMN more TEXT"), folder=words._folder)
    with newer.reading() as rows:
        assert rows.execute("SELECT * FROM words").fetchall() == [("one", 0, None)]
    newer.close()


def test_a_home_that_is_deleted_or_replaced_during_a_run_is_used_anew(tmp_path, words):
    add(words, "one")
    os.rename(tmp_path / "home", tmp_path / "away")
    add(words, "two")
    assert all_of(words) == ["two"]
    os.rename(tmp_path / "home", tmp_path / "gone")
    os.rename(tmp_path / "away", tmp_path / "home")
    assert all_of(words) == ["one"]


LIMITED = f"""
import resource, sys
from pathlib import Path
from inlay.graph_runtime.core.database import Database, DatabaseUnusable
database = Database("words.sqlite", {STEPS!r}, folder=lambda: Path(sys.argv[1]))
if sys.argv[2] == "later":
    with database.writing() as rows:
        rows.execute("INSERT INTO words VALUES ('before', 0)")
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    with database.writing() as rows:
        for number in range(2000):
            rows.execute("INSERT INTO words VALUES (?, ?)", ("x" * 1000 + str(number), number))
    print("written")
except DatabaseUnusable as error:
    print("unusable", error.why)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
database._failed_until = 0
with database.writing() as rows:
    rows.execute("INSERT INTO words VALUES ('after', 0)")
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on the size of files")
@pytest.mark.parametrize(("when", "limit"), [("first", 0), ("first", 1000), ("first", 40_000), ("later", 100_000)])
def test_a_full_disk_undoes_the_transaction_and_the_database_stays_whole(words, when, limit):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(words.path.parent), when, str(limit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.split(" ")[0]) == (0, "unusable"), done.stderr
    assert all_of(words) == ["after", "before"] if when == "later" else ["after"]
    assert min(os.listdir(words.path.parent)) == "words.sqlite"
    assert not (words.path.parent / "words.sqlite.damaged").exists()


def test_without_a_write_ahead_log_everything_works_too(words, monkeypatch):
    connect = sqlite3.connect

    def without(path, **options):  # this file system layer has no shared memory, as on some network mounts
        if path == ":memory:":
            return connect(path)
        return connect(f"file:{path}?vfs=unix-dotfile", uri=True, **options)

    monkeypatch.setattr(database_module.sqlite3, "connect", without)
    add(words, "one")
    assert all_of(words) == ["one"]
    with words.reading() as rows:
        assert rows.execute("PRAGMA journal_mode").fetchone() == ("delete",)


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR_SHMMAP, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL])
def test_a_file_system_that_refuses_the_log_gets_the_other_journal(code):
    asked = []

    class Refusing:
        def execute(self, statement):
            asked.append(statement)
            if "WAL" in statement:
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode = code
                raise error
            return self

        def fetchone(self):
            return ("delete",)

    database_module._prefer_wal(Refusing())
    assert asked == ["PRAGMA journal_mode = WAL", "PRAGMA journal_mode = DELETE"]
