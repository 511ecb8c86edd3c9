"""What holds for every test: the person's own models and caches stay out of sight, and a long run says how long."""

import time
from collections.abc import Iterator, Sequence

import hypothesis
import pytest

from trained_models import gan, held_digits, spots, train_digits, trained, unlabelled  # noqa: F401 (fixtures, see there)

# A deadline measures the machine, not the code. Examples are the same in every run: a red test stays red.
hypothesis.settings.register_profile("zpinch", deadline=None, derandomize=True)
hypothesis.settings.load_profile("zpinch")


@pytest.fixture(autouse=True)
def only_our_own_files(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads a model or a data set that happens to lie on this machine, and none writes to the home folder."""
    monkeypatch.delenv("ZPINCH_MODELS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


class TimeLeft:
    """Every few seconds: how many tests are done, and how long the rest will take at that rate.

    Where the last run's durations are known (pytest's own cache), a test counts by its duration, otherwise each
    counts the same.
    """

    every_seconds = 15

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.cache: pytest.Cache | None = getattr(config, "cache", None)  # none with -p no:cacheprovider
        self.seconds: dict[str, float] = {}
        self.expected: dict[str, float] = {}
        self.started = self.spoken = time.monotonic()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.expect([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """The same of a worker of xdist, which collects for this process."""
        self.expect(ids)

    def expect(self, names: Sequence[str]) -> None:
        known: dict[str, float] = self.cache.get("zpinch/seconds", {}) if self.cache else {}
        typical = sum(known.values()) / len(known) if known else 1.0
        self.expected = {name: known.get(name, typical) + 0.001 for name in names}
        self.started = self.spoken = time.monotonic()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        now = time.monotonic()
        if self.expected and report.when == "teardown" and now - self.spoken > self.every_seconds:
            self.spoken = now
            done = sum(self.expected[name] for name in self.seconds)
            left = (now - self.started) * (sum(self.expected.values()) / done - 1)
            terminal = self.config.pluginmanager.get_plugin("terminalreporter")
            terminal.ensure_newline()
            terminal.write_line(f"{len(self.seconds)} of {len(self.expected)} tests, about {left:.0f} s to go")

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self) -> Iterator[None]:
        yield
        if self.cache and len(self.seconds) > 1:
            self.cache.set("zpinch/seconds", {**self.cache.get("zpinch/seconds", {}), **self.seconds})


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # a worker of xdist has nobody to tell
        config.pluginmanager.register(TimeLeft(config), "time-left")
