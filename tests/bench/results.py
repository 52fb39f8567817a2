"""Keeps figures, so that a report can be put together from several calls of the bench."""

import dataclasses
import datetime
import json
import subprocess
from pathlib import Path

from measure import Run

ROOT = Path(__file__).resolve().parents[2]


@dataclasses.dataclass
class Group:
    """Runs that took turns: they are compared with each other, and with nothing else."""
    part: str
    load: str  # what tells it from the part's others
    runs: list[Run]
    clients: int = 1
    mode: str = ""
    rounds: int = 1
    seconds: int = 0
    text: str = ""  # where the figures are somebody else's words
    when: str = dataclasses.field(default_factory=lambda: datetime.datetime.now().strftime("%Y-%m-%d %H:%M"))
    revision: str = dataclasses.field(default_factory=lambda: revision())

    @property
    def subjects(self) -> list[str]:
        """In the order of their first round."""
        return list(dict.fromkeys(run.subject for run in self.runs))

    def of(self, subject: str) -> list[Run]:
        return [run for run in self.runs if run.subject == subject and run.rate is not None]


# What goes into the program.
SOURCES = ["proxy", "plugins", "plugin-engine", "plugin-sdk", "Cargo.lock"]


def revision() -> str:
    """The commit that was measured, and whether something had been changed since."""
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", *SOURCES], cwd=ROOT)
    return (head.stdout.strip() or "unknown") + (" with changes" if changed.returncode == 1 else "")


def load(path: Path) -> list[Group]:
    if not path.exists():
        return []
    return [Group(**group | {"runs": [Run(**run) for run in group["runs"]]})
            for group in json.loads(path.read_text())]


def save(path: Path, groups: list[Group]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([dataclasses.asdict(group) for group in groups], indent=1))


def merged(groups: list[Group], new: Group) -> list[Group]:
    """With the new figures in the place of old ones of the same load."""
    same = [(group.part, group.load) == (new.part, new.load) for group in groups]
    if not any(same):
        return [*groups, new]
    return [new if replaced else group for group, replaced in zip(groups, same)]
