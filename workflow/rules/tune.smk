"""
Fine-tune every candidate and select the learning rate of every run.

INPUTS:   base      = resources/models/{model}/
          examples  = resources/examples/{model}/{sft}/
OUTPUTS:  candidate = results/candidates/{model}/{sft}/ls-{smoothing}/lr-{lr}/seed-{seed}/
          run       = results/runs/{model}/{sft}/ls-{smoothing}/seed-{seed}/
          runs      = results/runs.{parquet,csv}: how each run came about
"""


rule tune:
    input:
        base="resources/models/{model}",
        examples="resources/examples/{model}/{sft}",
    output:
        directory("results/candidates/{model}/{sft}/ls-{smoothing}/lr-{lr}/seed-{seed}"),
    log:
        "logs/tune/{model}/{sft}/ls-{smoothing}/lr-{lr}/seed-{seed}.log",
    benchmark:
        "results/timings/tune/{model}/{sft}/ls-{smoothing}/lr-{lr}/seed-{seed}.tsv"
    # Before scoring, since the longest chain of jobs leads through the trainings.
    priority: 50
    conda:
        "../../envs/gpu.yaml"
    threads: get_processes
    resources:
        **ask_for_nodes(),
        mem_mb=get_memory,
        runtime=get_runtime("tune"),
        # No parameters: on how many GPUs, and where it is shown, too, is no reason to
        # train again.
        gpu=get_all_gpus,
        gpus_per_node=get_gpus,
        machines=get_nodes,
        processes=get_processes,
        launcher=get_launcher,
        report_to=" ".join(config["report_to"]),
    params:
        stage=grid.STAGES["tune"],
        recipe=get_settings(Recipe, lr=None),
        # Not an output: Snakemake deletes what a job that was killed had written.
        checkpoints=(
            "results/checkpoints/{model}/{sft}/ls-{smoothing}/lr-{lr}/seed-{seed}"
        ),
    shell:
        "{resources.launcher} python -m polycal with_gpus"
        " --count {resources.gpus_per_node} --"
        " python -m polycal tune {params.recipe}"
        " --base {input.base:q}"
        " --examples {input.examples:q}"
        " --model {wildcards.model:q}"
        " --sft {wildcards.sft:q}"
        " --smoothing {wildcards.smoothing}"
        " --lr {wildcards.lr}"
        " --seed {wildcards.seed}"
        " --checkpoints {params.checkpoints:q}"
        " --processes {resources.processes}"
        " --nodes {resources.machines}"
        " --rendezvous $(hostname):$((20000 + ${{SLURM_JOB_ID:-0}} % 10000))"
        " --report-to {resources.report_to}"
        " --out {output:q} &> {log:q}"


rule select:
    input:
        get_candidates,
    output:
        directory("results/runs/{model}/{sft}/ls-{smoothing}/seed-{seed}"),
    log:
        "logs/select/{model}/{sft}/ls-{smoothing}/seed-{seed}.log",
    priority: 50
    conda:
        "../../envs/cpu.yaml"
    params:
        stage=grid.STAGES["select"],
    shell:
        "python -m polycal select"
        " --candidates {input:q}"
        " --seed {wildcards.seed}"
        " --out {output:q} &> {log:q}"


rule list_runs:
    input:
        models=[f"resources/models/{model['name']}" for model in config["models"]],
        runs=get_tuned(),
    output:
        table="results/runs.parquet",
        csv="results/runs.csv",
    log:
        "logs/list_runs.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        stage=grid.STAGES["list_runs"],
    shell:
        "python -m polycal list_runs"
        " --models {input.models:q}"
        " --runs {input.runs:q}"
        " --out {output.table:q} &> {log:q}"
