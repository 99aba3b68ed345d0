"""
Measure calibration per batch of predictions, and gather the study's tables.

INPUTS:   predictions = results/predictions/{model}/{sft}/ls-{smoothing}/seed-{seed}/{task}/{languages}.parquet
OUTPUTS:  metrics     = results/metrics/...same tail...parquet
          reliability = results/reliability/...same tail...parquet
          tables      = results/{metrics,reliability,summary}.{parquet,csv}
"""


rule measure:
    input:
        "results/predictions/{model}/{sft}/ls-{smoothing}/seed-{seed}/{task}/{languages}.parquet",
    output:
        metrics="results/metrics/{model}/{sft}/ls-{smoothing}/seed-{seed}/{task}/{languages}.parquet",
        reliability="results/reliability/{model}/{sft}/ls-{smoothing}/seed-{seed}/{task}/{languages}.parquet",
    log:
        "logs/measure/{model}/{sft}/ls-{smoothing}/seed-{seed}/{task}/{languages}.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        stage=grid.STAGES["measure"],
    shell:
        "python -m polycal measure"
        " --predictions {input:q}"
        " --metrics {output.metrics:q}"
        " --reliability {output.reliability:q} &> {log:q}"


rule aggregate:
    input:
        checks=expand("results/checks/{task[name]}.json", task=config["tasks"]),
        metrics=get_batch_files("metrics"),
        reliability=get_batch_files("reliability"),
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
        # Batch files may hold languages that the study no longer asks for.
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
