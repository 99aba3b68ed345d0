"""
Fine-tune every candidate and select the learning rate of every run.
"""


rule tune:
    input:
        base=layout.MODEL,
        examples=layout.EXAMPLES,
    output:
        directory(layout.CANDIDATE),
    log:
        "logs/tune/{model}/{sft}/ls-{smoothing}/lr-{lr}/seed-{seed}.log",
    benchmark:
        layout.timing("tune", layout.CANDIDATE_TAIL)
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
        stage=stages.STAGES["tune"],
        recipe=get_settings(Recipe, lr=None),
        # Not an output: Snakemake deletes what a job that was killed had written.
        checkpoints=layout.CHECKPOINT,
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
        directory(layout.RUN),
    log:
        "logs/select/{model}/{sft}/ls-{smoothing}/seed-{seed}.log",
    priority: 50
    conda:
        "../../envs/cpu.yaml"
    params:
        stage=stages.STAGES["select"],
    shell:
        "python -m polycal select"
        " --candidates {input:q}"
        " --seed {wildcards.seed}"
        " --out {output:q} &> {log:q}"


rule list_runs:
    input:
        models=[layout.MODEL.format(model=model["name"]) for model in config["models"]],
        runs=get_tuned(),
        released=get_released(),
    output:
        table=layout.table("runs"),
        csv=layout.table("runs", "csv"),
    log:
        "logs/list_runs.log",
    conda:
        "../../envs/cpu.yaml"
    params:
        stage=stages.STAGES["list_runs"],
    shell:
        "python -m polycal list_runs"
        " --models {input.models:q}"
        " --runs {input.runs:q}"
        " --released {input.released:q}"
        " --out {output.table:q} &> {log:q}"
