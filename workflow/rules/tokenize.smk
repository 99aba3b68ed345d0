"""
Tokenise every SFT set for every model, once for all candidates.
"""


rule tokenize:
    input:
        base=layout.MODEL,
        conversations=layout.SFT,
    output:
        directory(layout.EXAMPLES),
    log:
        "logs/tokenize/{model}/{sft}.log",
    benchmark:
        layout.timing("tokenize", "{model}/{sft}")
    # Every training waits for it. One thread: rendering, which has no second one, takes
    # most of the time.
    priority: 105
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    params:
        stage=stages.STAGES["tokenize"],
        rendering=get_settings(Rendering),
    shell:
        "RAYON_NUM_THREADS={threads} python -m polycal tokenize {params.rendering}"
        " --base {input.base:q}"
        " --conversations {input.conversations:q}"
        " --model {wildcards.model:q}"
        " --sft {wildcards.sft:q}"
        " --out {output:q} &> {log:q}"
