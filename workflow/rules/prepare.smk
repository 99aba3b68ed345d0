"""
Bring models, SFT sets and benchmarks into polycal's own form.
"""


rule make_miniature:
    output:
        model=directory(layout.MINIATURE.format(part="model")),
        sft=directory(layout.MINIATURE.format(part="sft")),
        global_mmlu=directory(layout.MINIATURE.format(part="global_mmlu")),
        mmlu_prox=directory(layout.MINIATURE.format(part="mmlu_prox")),
    log:
        "logs/make_miniature.log",
    benchmark:
        layout.timing("make_miniature")
    conda:
        "../../envs/gpu.yaml"
    threads: 2
    params:
        stage=stages.STAGES["make_miniature"],
        flags=cli_flags(config["miniature"]),
    shell:
        "python -m polycal make_miniature {params.flags}"
        " --model {output.model:q}"
        " --sft {output.sft:q}"
        " --global-mmlu {output.global_mmlu:q}"
        " --mmlu-prox {output.mmlu_prox:q} &> {log:q}"


rule prepare_model:
    input:
        get_local_repo("models", "model"),
    output:
        directory(layout.MODEL),
    log:
        "logs/prepare_model/{model}.log",
    # As with data and questions: a repository that cannot be had should stop a study
    # before it has cost GPU hours. Trainings wait for models and SFT sets.
    priority: 110
    conda:
        "../../envs/gpu.yaml"  # with PyTorch, to compare weights with the config
    params:
        stage=stages.STAGES["prepare_model"],
        repo=get_repo("models", "model"),
    shell:
        "python -m polycal prepare_model {params.repo}"
        " --model {wildcards.model:q}"
        " --out {output:q} &> {log:q}"


rule prepare_released:
    input:
        source=get_local_checkpoint,
        base=layout.MODEL,
    output:
        directory(layout.RELEASED),
    log:
        "logs/prepare_released/{model}/{sft}.log",
    priority: 105
    conda:
        "../../envs/gpu.yaml"
    params:
        stage=stages.STAGES["prepare_released"],
        repo=get_released_repo,
    shell:
        "python -m polycal prepare_released {params.repo}"
        " --base {input.base:q}"
        " --model {wildcards.model:q}"
        " --sft {wildcards.sft:q}"
        " --out {output:q} &> {log:q}"


rule prepare_sft:
    input:
        get_local_repo("sft", "sft"),
    output:
        layout.SFT,
    log:
        "logs/prepare_sft/{sft}.log",
    benchmark:
        layout.timing("prepare_sft", "{sft}")
    priority: 110
    conda:
        "../../envs/cpu.yaml"
    params:
        stage=stages.STAGES["prepare_sft"],
        repo=get_repo("sft", "sft"),
        rows=get_sft_rows,
    shell:
        "python -m polycal prepare_sft {params.repo} {params.rows}"
        " --sft {wildcards.sft:q}"
        " --out {output:q} &> {log:q}"


rule prepare_task:
    input:
        get_local_language,
    output:
        layout.QUESTIONS,
    log:
        "logs/prepare_task/{task}/{language}.log",
    priority: 100
    conda:
        "../../envs/cpu.yaml"
    params:
        stage=stages.STAGES["prepare_task"],
        repo=get_repo("tasks", "task"),
        source=get_source,
    shell:
        "python -m polycal prepare_task {params.repo} {params.source}"
        " --task {wildcards.task:q}"
        " --language {wildcards.language:q}"
        " --out {output:q} &> {log:q}"


rule check_task:
    input:
        get_task_questions,
    output:
        layout.CHECK,
    log:
        "logs/check_task/{task}.log",
    # What is wrong with the questions should stop a study before it has cost GPU hours,
    # yet scores must not depend on languages that are added later; only measures do.
    priority: 100
    conda:
        "../../envs/cpu.yaml"
    params:
        stage=stages.STAGES["check_task"],
        policy=lambda wildcards: get_task(wildcards)["questions"],
    shell:
        "python -m polycal check_task"
        " --questions {input:q}"
        " --policy {params.policy}"
        " --out {output:q} &> {log:q}"
