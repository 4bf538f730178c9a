"""What credits are spent on, and the schema that all of this lies in."""

from __future__ import annotations

import enum

SCHEMA = "credits"


class OperationType(enum.Enum):
    """What credits are spent on (plan D: its current and its legacy members)."""

    AI_TEXT_CHAT = "AI_TEXT_CHAT"
    AI_IMAGE_GENERATION = "AI_IMAGE_GENERATION"
    PROJECT_CREATION = "PROJECT_CREATION"
    PRD_GENERATION = "PRD_GENERATION"
    SCHEMA_GENERATION = "SCHEMA_GENERATION"
    FLOWCHART_GENERATION = "FLOWCHART_GENERATION"
    TASK_GENERATION = "TASK_GENERATION"
    PLAN_GENERATION = "PLAN_GENERATION"
    ADMIN_ADJUSTMENT = "ADMIN_ADJUSTMENT"
    WORKSPACE_BLUEPRINT = "WORKSPACE_BLUEPRINT"
    FEATURE_SEGMENTATION = "FEATURE_SEGMENTATION"
