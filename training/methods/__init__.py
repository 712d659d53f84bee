"""One method, one file that reads like the paper's algorithm; METHODS is a plain dict."""

from __future__ import annotations

from training.methods import (
    active_learning,
    brute_force,
    cross_protocol,
    curriculum_labeling,
    data_distillation,
    dst,
    easy_hard,
    elt,
    fabrec,
    fixmatch,
    hybridmatch,
    linear_warmup,
    mae,
    naive,
    pseudo_label,
    scaf,
    seq_mt,
    spaco,
    spl,
    stc,
    stld,
    supervised,
    ts3,
)
from training.methods.base import Method

ALL_ALIKE = {
    "test_weight_zero_on_unlabelled_data_is_supervised_training": "no weight, pseudo-labels count like true labels"
}
PUBLISHED = {
    "test_weight_zero_on_unlabelled_data_is_supervised_training": "its published weights are not 0; see test_stld"
}
ONLINE = {
    "test_every_pseudo_label_set_is_kept_with_its_teacher": "labels are made anew in every batch, there are no sets",
    "test_start_from_init_needs_weights": "no rounds, so no start of the first one: --init is what it trains on",
    "test_start_from_init_labels_with_exactly_the_given_model": "labels come from the network as it then is",
    "test_a_teacher_gets_no_gradient": "teacher and student are one network; its own tests look at the labels",
}
OWN_NETWORK = "supervised training is another network's here; its own tests compare its losses with slow loops"
HYBRID = ONLINE | {"test_weight_zero_on_unlabelled_data_is_supervised_training": OWN_NETWORK}
CURRICULUM = {
    "test_weight_zero_on_unlabelled_data_is_supervised_training": OWN_NETWORK,
    "test_start_from_init_labels_with_exactly_the_given_model": "it needs a PIPNet to start from; see test_stc",
}
COPIES = {
    "test_start_from_init_labels_with_exactly_the_given_model": "it labels with copies; see test_data_distillation"
}
PRETRAINING = {
    "test_every_pseudo_label_set_is_kept_with_its_teacher": "labels nothing unless pretraining is pp; see test_mae",
    "test_start_from_init_needs_weights": "there are no rounds: --init is what pretraining starts from",
    "test_start_from_init_labels_with_exactly_the_given_model": "there are no rounds and no labels of the given model",
    "test_a_teacher_gets_no_gradient": "has no teacher unless pretraining is pp; see test_mae",
}
AUTOENCODER = {
    "test_every_pseudo_label_set_is_kept_with_its_teacher": "unlabelled images are reconstructed, never labelled",
    "test_start_from_init_needs_weights": "there are no rounds: --init is what pretraining starts from",
    "test_start_from_init_labels_with_exactly_the_given_model": "there are no rounds and no labels of the given model",
    "test_a_teacher_gets_no_gradient": "it has no teacher; that the generator stays as it is stands in test_scaf",
    "test_weight_zero_on_unlabelled_data_is_supervised_training": OWN_NETWORK,
}
STUDENTS = {
    "test_weight_zero_on_unlabelled_data_is_supervised_training": OWN_NETWORK,
    "test_start_from_init_labels_with_exactly_the_given_model": "it needs TS3's students to start from; see test_ts3",
}
EQUIVARIANT = {
    "test_every_pseudo_label_set_is_kept_with_its_teacher": "it makes no labels: ELT compares two passes",
    "test_start_from_init_needs_weights": "no rounds, so no start of the first one: --init is what it trains on",
    "test_start_from_init_labels_with_exactly_the_given_model": "there are no rounds and no labels of the given model",
    "test_a_teacher_gets_no_gradient": "both passes of ELT get the gradient; see test_elt",
}
MULTI_TASK = EQUIVARIANT | {
    "test_weight_zero_on_unlabelled_data_is_supervised_training": OWN_NETWORK,
}

BACKBONES = ("heatmap", "regression", "transformer")  # kinds whose backbone may have separable batch norms

METHODS: dict[str, Method] = {
    "active_learning": Method(
        active_learning.Config, active_learning.train, unlabelled=False, networks=("heatmap", "fabrec", "scaf")
    ),
    "brute_force": Method(brute_force.Config, brute_force.train, unlabelled=False, networks=BACKBONES),
    "cross_protocol": Method(
        cross_protocol.Config, cross_protocol.train, unlabelled=False, networks=("branches", "heatmap"), several=True
    ),
    "curriculum_labeling": Method(
        curriculum_labeling.Config, curriculum_labeling.train, exempt=ALL_ALIKE, networks=("heatmap",)
    ),
    "data_distillation": Method(data_distillation.Config, data_distillation.train, exempt=COPIES),
    "dst": Method(dst.Config, dst.train, exempt=ONLINE, networks=("heatmap",)),
    "easy_hard": Method(easy_hard.Config, easy_hard.train, exempt=ONLINE, networks=("heatmap",)),
    "elt": Method(
        elt.Config,
        elt.train,
        exempt=EQUIVARIANT,
        networks=("heatmap", "transformer", "hybrid", "seq_mt", "comm_mt", "heatmap_mt", "rcn"),
    ),
    "fabrec": Method(fabrec.Config, fabrec.train, exempt=AUTOENCODER, networks=("fabrec",), unless="autoencoder"),
    "fixmatch": Method(fixmatch.Config, fixmatch.train, exempt=ONLINE, networks=("heatmap",)),
    "hybridmatch": Method(hybridmatch.Config, hybridmatch.train, exempt=HYBRID, networks=("hybrid",)),
    "linear_warmup": Method(linear_warmup.Config, linear_warmup.train),
    "mae": Method(mae.Config, mae.train, exempt=PRETRAINING),
    "naive": Method(naive.Config, naive.train, exempt=ALL_ALIKE),
    "pseudo_label": Method(pseudo_label.Config, pseudo_label.train, networks=("heatmap",)),
    "scaf": Method(scaf.Config, scaf.train, exempt=AUTOENCODER, networks=("scaf",), unless="autoencoder"),
    "seq_mt": Method(
        seq_mt.Config,
        seq_mt.train,
        exempt=MULTI_TASK,
        networks=("seq_mt", "comm_mt", "heatmap_mt", "rcn"),
        unless="labelled_only",
    ),
    "spaco": Method(spaco.Config, spaco.train, exempt=STUDENTS, networks=("ts3",), unless="labelled_only"),
    "spl": Method(spl.Config, spl.train, exempt=STUDENTS, networks=("ts3",), unless="labelled_only"),
    "stc": Method(stc.Config, stc.train, exempt=CURRICULUM, networks=("pipnet",)),
    "stld": Method(stld.Config, stld.train, exempt=PUBLISHED),
    "supervised": Method(supervised.Config, supervised.train, unlabelled=False),
    "ts3": Method(ts3.Config, ts3.train, exempt=STUDENTS, networks=("ts3",), unless="labelled_only"),
}

__all__ = ["METHODS", "Method"]
