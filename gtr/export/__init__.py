"""A run for others: its turns as a dataset in the forms that other libraries read, and its agent on the hub."""

from gtr.export.forms import FORMS, export

__all__ = ["FORMS", "export"]
