"""
Measure calibration per run and task, and gather the study's tables.

All languages of a task are measured together: the questions that they share depend on
each of them, and some numbers of one language are fitted on another. Nothing is scored
for it; the scores stay.

INPUTS:   predictions = results/predictions/{model}/{sft}/ls-{smoothing}/seed-{seed}/{task}/*.parquet
          check       = results/checks/{task}.json
OUTPUTS:  metrics     = results/metrics/{model}/{sft}/ls-{smoothing}/seed-{seed}/{task}.parquet
          reliability, replicates = results/{reliability,replicates}/...same tail...parquet
          tables      = results/{metrics,reliability,summary,contrasts,claims}.{parquet,csv}
                        results/{decompositions,doses,slopes,fronts,dispersions,cultures}.parquet
          shifts      = results/shifts/{model}/{sft}/{task}.parquet
"""


rule measure:
    input:
        predictions=get_predictions,
        check="results/checks/{task}.json",
    output:
        metrics="results/metrics/{model}/{sft}/ls-{smoothing}/seed-{seed}/{task}.parquet",
        reliability="results/reliability/{model}/{sft}/ls-{smoothing}/seed-{seed}/{task}.parquet",
        replicates="results/replicates/{model}/{sft}/ls-{smoothing}/seed-{seed}/{task}.parquet",
    log:
        "logs/measure/{model}/{sft}/ls-{smoothing}/seed-{seed}/{task}.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        stage=grid.STAGES["measure"],
        statistics=get_statistics(n_replicates="replicates", seed="seed"),
        normalisers=config["normalisers"],
    shell:
        "python -m polycal measure"
        " --predictions {input.predictions:q}"
        " --check {input.check:q}"
        " --metrics {output.metrics:q}"
        " --reliability {output.reliability:q}"
        " --replicates {output.replicates:q}"
        " --normalisers {params.normalisers}"
        " {params.statistics} &> {log:q}"


rule find_shifts:
    input:
        predictions=get_compared_predictions,
        questions=get_task_questions,
        check="results/checks/{task}.json",
    output:
        "results/shifts/{model}/{sft}/{task}.parquet",
    log:
        "logs/find_shifts/{model}/{sft}/{task}.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        stage=grid.STAGES["find_shifts"],
        scoring=config["scoring"][0],
    shell:
        "python -m polycal find_shifts"
        " --predictions {input.predictions:q}"
        " --questions {input.questions:q}"
        " --check {input.check:q}"
        " --scoring {params.scoring}"
        " --out {output:q} &> {log:q}"


rule aggregate:
    input:
        metrics=get_measured("metrics"),
        reliability=get_measured("reliability"),
    output:
        expand(
            "results/{table}.{suffix}",
            table=["metrics", "reliability", "summary"],
            suffix=["parquet", "csv"],
        ),
    log:
        "logs/aggregate.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        stage=grid.STAGES["aggregate"],
        # What each run has to have, and nothing besides.
        keep=[
            f"{task['name']}={'+'.join(sorted(task['languages']))}"
            for task in config["tasks"]
        ],
    shell:
        "python -m polycal aggregate"
        " --metrics {input.metrics:q}"
        " --reliability {input.reliability:q}"
        " --keep {params.keep:q}"
        " --out results &> {log:q}"


rule contrast:
    input:
        metrics="results/metrics.parquet",
        runs="results/runs.parquet",
        replicates=get_measured("replicates"),
    output:
        expand(
            "results/{table}.{suffix}",
            table=["contrasts", "claims"],
            suffix=["parquet", "csv"],
        ),
    log:
        "logs/contrast.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        stage=grid.STAGES["contrast"],
        statistics=get_statistics(margin="margin"),
    shell:
        "python -m polycal contrast"
        " --metrics {input.metrics:q}"
        " --replicates {input.replicates:q}"
        " --runs {input.runs:q}"
        " {params.statistics}"
        " --out results &> {log:q}"


rule analyse:
    input:
        metrics="results/metrics.parquet",
        replicates=get_measured("replicates"),
    output:
        expand(
            "results/{table}.parquet",
            table=[
                "decompositions",
                "doses",
                "slopes",
                "fronts",
                "dispersions",
                "cultures",
            ],
        ),
    log:
        "logs/analyse.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        stage=grid.STAGES["analyse"],
        statistics=get_statistics(),
    shell:
        "python -m polycal analyse"
        " --metrics {input.metrics:q}"
        " --replicates {input.replicates:q}"
        " {params.statistics}"
        " --out results &> {log:q}"
