"""The HTML report of a job: one file that opens offline, on a phone as on a desk."""

from duckemcc.show.page.write import make_report, write_report

__all__ = ["make_report", "write_report"]
