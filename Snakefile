"""polycal: models x SFT sets x label-smoothing values x languages -> calibration report.

The study is `config.yaml`, or the file given with --configfile, which replaces it.
"""

from snakemake.utils import min_version

min_version("9.14")


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/tokenize.smk"
include: "workflow/rules/tune.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/report.smk"


localrules:  # they take seconds, or download, which compute nodes often cannot
    all,
    prepare_model,
    prepare_released,
    prepare_sft,
    prepare_task,
    check_task,
    select,
    list_runs,
    contrast,
    analyse,
    draw,
    tabulate,
    report,


rule all:
    default_target: True
    input:
        layout.PAGE,
        layout.table("claims"),
        layout.table("fronts", "csv"),
        get_tables(),
        get_all_predictions(),


onstart:
    check_gpus()
    workflow.directory_lock = hold_directory()
    note_study()
    look_when_jobs_end()


onsuccess:
    end_study()
