"""How much one rendering may do. No template and no lead can keep a processor busy or fill the memory."""

MAX_WORK = 3_000_000  # characters read or made, and the cost of what loops repeat: some 100 ms at the very most
MAX_TURNS = 10_000  # of all loops together
MAX_OUTPUT = 256 * 1024  # bytes of the payload


class CannotRender(ValueError):
    """This lead cannot be rendered, in one sentence for people. It never quotes the lead."""

    def __init__(self, sentence: str, place: str = "") -> None:
        super().__init__(f"{place}: {sentence}" if place else sentence)
        self.sentence, self.place = sentence, place


class Work:
    """What one rendering did. CannotRender where it is too much."""

    __slots__ = ("done", "turns")

    def __init__(self) -> None:
        self.done = self.turns = 0

    def spend(self, amount: int) -> None:
        self.done += amount
        if self.done > MAX_WORK:
            raise CannotRender("The template makes too much text of this lead, or repeats too much.")

    def turn(self, cost: int) -> None:
        """One turn of a loop whose inside costs so much."""
        self.turns += 1
        if self.turns > MAX_TURNS:
            raise CannotRender(f"The template's loops take more than {MAX_TURNS:,} turns for this lead.")
        self.spend(cost)
