"""
Measure calibration per run and task, and gather the study's tables.

All languages of a task are measured together: the questions that they share depend on
each of them, and some numbers of one language are fitted on another. Nothing is scored
for it; the scores stay.
"""


rule measure:
    input:
        predictions=get_predictions,
        checkpoint=get_checkpoint,
        check=layout.CHECK,
    output:
        metrics=layout.measured("metrics"),
        reliability=layout.measured("reliability"),
        replicates=layout.measured("replicates"),
    log:
        "logs/measure/{model}/{sft}/ls-{smoothing}/seed-{seed}/{task}.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        stage=stages.STAGES["measure"],
        statistics=get_statistics(n_replicates="replicates", seed="seed"),
        normalisers=config["normalisers"],
        pairing=get_pairing,
    shell:
        "python -m polycal measure"
        " --predictions {input.predictions:q}"
        " --checkpoint {input.checkpoint:q}"
        " --check {input.check:q}"
        " --metrics {output.metrics:q}"
        " --reliability {output.reliability:q}"
        " --replicates {output.replicates:q}"
        " --normalisers {params.normalisers}"
        " {params.statistics} {params.pairing} &> {log:q}"


rule find_shifts:
    input:
        predictions=get_compared_predictions,
        questions=get_task_questions,
        check=layout.CHECK,
        runs=layout.table("runs"),
        sft=get_conversations,
    output:
        shifts=layout.SHIFTS,
        taught=layout.TAUGHT,
    log:
        "logs/find_shifts/{model}/{sft}/{task}.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        stage=stages.STAGES["find_shifts"],
        scoring=config["scoring"][0],
        statistics=get_statistics(),
    shell:
        "python -m polycal find_shifts"
        " --predictions {input.predictions:q}"
        " --questions {input.questions:q}"
        " --check {input.check:q}"
        " --scoring {params.scoring}"
        " --runs {input.runs:q}"
        " --sft {input.sft:q}"
        " {params.statistics}"
        " --out {output.shifts:q}"
        " --taught {output.taught:q} &> {log:q}"


rule aggregate:
    input:
        metrics=get_measured("metrics"),
        reliability=get_measured("reliability"),
        checkpoints=layout.table("runs"),
    output:
        expand(
            layout.TABLE,
            table=["metrics", "reliability", "summary"],
            suffix=["parquet", "csv"],
        ),
    log:
        "logs/aggregate.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        stage=stages.STAGES["aggregate"],
        # What each run has to have, and nothing besides.
        keep=[
            f"{task['name']}={'+'.join(sorted(task['languages']))}"
            for task in config["tasks"]
        ],
        runs=[run.path for run in grid.expand_runs(config)],
    shell:
        "python -m polycal aggregate"
        " --metrics {input.metrics:q}"
        " --reliability {input.reliability:q}"
        " --keep {params.keep:q}"
        " --runs {params.runs:q}"
        " --checkpoints {input.checkpoints:q}"
        " --out results &> {log:q}"


rule contrast:
    input:
        metrics=layout.table("metrics"),
        runs=layout.table("runs"),
        replicates=get_measured("replicates"),
    output:
        expand(
            layout.TABLE,
            table=["contrasts", "claims"],
            suffix=["parquet", "csv"],
        ),
    log:
        "logs/contrast.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        stage=stages.STAGES["contrast"],
        statistics=get_statistics(
            margin="margin",
            primary_task="primary_task",
            primary_scoring="primary_scoring",
        ),
        same_questions=list_same_questions(),
        tuned_from=list_stages(),
        first_model=config["models"][0]["name"],
    shell:
        "python -m polycal contrast"
        " --metrics {input.metrics:q}"
        " --replicates {input.replicates:q}"
        " --runs {input.runs:q}"
        " --same-questions {params.same_questions:q}"
        " --tuned-from {params.tuned_from:q}"
        " --first-model {params.first_model:q}"
        " {params.statistics}"
        " --out results &> {log:q}"


rule analyse:
    input:
        metrics=layout.table("metrics"),
        runs=layout.table("runs"),
        replicates=get_measured("replicates"),
    output:
        expand(
            layout.TABLE,
            table=[
                "decompositions",
                "doses",
                "slopes",
                "fronts",
                "cultures",
                "level_means",
                "new_languages",
                "shares",
            ],
            suffix=["parquet", "csv"],
        ),
    log:
        "logs/analyse.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        stage=stages.STAGES["analyse"],
        statistics=get_statistics(),
    shell:
        "python -m polycal analyse"
        " --metrics {input.metrics:q}"
        " --replicates {input.replicates:q}"
        " --runs {input.runs:q}"
        " {params.statistics}"
        " --out results &> {log:q}"
