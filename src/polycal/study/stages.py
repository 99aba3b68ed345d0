"""Versions of the workflow's stages."""

# Increase the number of a stage whose results change. It is a parameter of the stage's
# rule, so the new number, and not a comment, makes Snakemake run the stage again.
STAGES = {
    "make_miniature": 3,
    "prepare_model": 1,
    "prepare_released": 1,
    "prepare_sft": 2,
    "prepare_task": 3,
    "check_task": 4,
    "tokenize": 1,
    "tune": 5,
    "select": 2,
    "score": 6,
    "measure": 11,
    "aggregate": 5,
    "contrast": 13,
    "analyse": 11,
    "list_runs": 7,
    "find_shifts": 4,
    "draw": 15,
    "tabulate": 6,
    "report": 22,
}
