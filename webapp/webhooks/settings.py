"""What a person may set for a webhook, declared once: pages, the shell and the checks all read these declarations."""

from dataclasses import dataclass


class WrongSetting(ValueError):
    """A setting that cannot be used, in one sentence that never quotes a secret. `setting`: the name of the Setting."""

    def __init__(self, sentence: str, setting: str = "") -> None:
        super().__init__(sentence)
        self.setting = setting


@dataclass(frozen=True, slots=True)
class Setting:
    """One value that a person types or chooses.

    `name`: its key where it is stored. `secret`: stored encrypted, and never shown again. `choices`: pairs of stored
    value and words; empty for a free text. `lines`: several lines. `default`: the value if nothing is given.
    """

    name: str
    label: str
    secret: bool = False
    choices: tuple[tuple[str, str], ...] = ()
    hint: str = ""
    lines: bool = False
    optional: bool = False
    default: str = ""
