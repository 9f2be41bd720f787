"""Reports: one self-contained page per run, its figures, and films of its policy."""

from drml.report.film import save_film, save_strip
from drml.report.page import write_report

__all__ = ["write_report", "save_film", "save_strip"]
