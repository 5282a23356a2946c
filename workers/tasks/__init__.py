"""Tasks: one file each. A new task is one file and one import here."""

from workers.tasks import cls, det, iseg, pano, pose, seg  # noqa: F401 - importing a task registers it
from workers.tasks.base import Task, get_task, task_names

__all__ = ["Task", "get_task", "task_names"]
