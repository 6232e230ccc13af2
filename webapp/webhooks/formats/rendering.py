"""Stands in until the formats are there."""


class CannotRender(Exception): ...
