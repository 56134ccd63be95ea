"""Specs with one or more mistakes each; what is said of them stands in ``tests/golden/errors``."""

GOOD = """\
nnspec: 1
name: small
vars: {width: 6}
data: digits
blocks:
  conv_bn:
    args: {filters: required, stride: 1}
    layers:
      - conv2d: {filters: $filters, kernel: 3, stride: $stride, padding: same, bias: false}
      - batch_norm
      - relu
layers:
  - conv_bn: {filters: $width}
  - residual:
      layers:
        - conv_bn: {filters: $width}
  - max_pool2d: 2
  - flatten
  - dense: {units: 32, activation: relu}
  - dropout: 0.2
  - dense: 10
loss: cross_entropy
metrics: [accuracy]
optimizer:
  adam: {learning_rate: 1e-3}
schedule: {cosine: {warmup: 1}}
epochs: 10
batch_size: 64
"""


def changed(old: str, new: str) -> str:
    assert old in GOOD, old
    return GOOD.replace(old, new, 1)


BAD: dict[str, str] = {
    # the file
    "empty": "",
    "only_a_list": "- 1\n- 2\n",
    "no_version": changed("nnspec: 1\n", ""),
    "wrong_version": changed("nnspec: 1", "nnspec: 2"),
    "duplicate_key": changed("epochs: 10\n", "epochs: 10\nepochs: 20\n"),
    "tag": changed("epochs: 10", "epochs: !!int 10"),
    "python_tag": changed("name: small", "name: !!python/object/apply:os.system [ls]"),
    "merge_key": changed("  adam: {learning_rate: 1e-3}", "  adam: {<<: {learning_rate: 1e-3}}"),
    "tab": changed("  - flatten", "\t- flatten"),
    "unclosed_bracket": changed("metrics: [accuracy]", "metrics: [accuracy"),
    "torn_formula": changed("filters: $width}", "filters: $(max(8, width))}"),
    "two_documents": GOOD + "---\nnnspec: 1\n",
    "unknown_alias": changed("epochs: 10", "epochs: *n"),
    "control_character": changed("name: small", "name: \"sm\x07all\""),
    "huge_number": changed("epochs: 10", "epochs: 123456789012345678901234567890"),
    # keys at the top
    "misspelt_key": changed("epochs: 10", "epoch: 10"),
    "foreign_key": changed("batch_size: 64", "batchsize: 64"),
    "no_layers": "nnspec: 1\ndata: digits\n",
    "layers_is_a_mapping": "nnspec: 1\ndata: digits\nlayers:\n  flatten:\n  dense: 10\n",
    "epochs_is_a_word": changed("epochs: 10", "epochs: many"),
    "epochs_in_quotes": changed("epochs: 10", 'epochs: "10"'),
    "seed_is_negative": changed("epochs: 10", "epochs: 10\nseed: -1"),
    "precision_of_sixteen_bits_alone": changed("epochs: 10", "epochs: 10\nprecision: bfloat16"),
    "tf32_of_mixed_precision": changed("epochs: 10", "epochs: 10\nprecision: mixed_bfloat16\nmath: tf32"),
    "phases_for_later": changed("epochs: 10", "epochs: 10\nphases: []"),
    "optimizer_without_loss": changed("loss: cross_entropy\n", ""),
    # layers
    "foreign_layer": changed("  - dense: 10", "  - Linear: 10"),
    "foreign_layer_conv2d": changed("conv2d: {filters: $filters", "Conv2D: {filters: $filters"),
    "foreign_field": changed("conv2d: {filters: $filters, kernel: 3", "conv2d: {out_channels: $filters, kernel_size: 3"),
    "misspelt_layer": changed("  - max_pool2d: 2", "  - max_pol2d: 2"),
    "misspelt_field": changed("units: 32", "unit: 32"),
    "layer_for_later": changed("  - flatten\n", "  - lstm: 4\n  - flatten\n"),
    "key_for_later": changed("units: 32,", "units: 32, masked: false,"),
    "missing_field": changed("dense: {units: 32, activation: relu}", "dense: {activation: relu}"),
    "units_is_a_float": changed("units: 32", "units: 32.0"),
    "units_is_zero": changed("units: 32", "units: 0"),
    "units_are_too_many": changed("units: 32", "units: 1000000000"),
    "rate_of_one": changed("dropout: 0.2", "dropout: 1.0"),
    "no_such_activation": changed("activation: relu", "activation: rellu"),
    "foreign_activation": changed("activation: relu", "activation: LeakyReLU"),
    "activation_with_a_wrong_argument": changed("activation: relu", "activation: {leaky_relu: steep}"),
    "padding_is_a_word": changed("padding: same", "padding: full"),
    "flatten_takes_nothing": changed("  - flatten\n", "  - flatten: 3\n"),
    "two_layers_in_one_entry": changed("  - flatten\n  - dense: {units: 32, activation: relu}\n", "  - dense: 32\n    dropout: 0.1\n"),
    "field_beside_the_layer": changed("  - dense: 10", "  - dense:\n    units: 10"),
    "bad_name": changed("units: 32,", "units: 32, name: 2nd,"),
    "name_twice": changed("units: 32,", "units: 32, name: head,").replace("  - dense: 10", "  - dense: {units: 10, name: head}"),
    "unknown_from": changed("  - dense: 10", "  - dense: {units: 10, from: dense1}"),
    "from_below": changed("units: 32,", "units: 32, from: last,").replace("  - dense: 10", "  - dense: {units: 10, name: last}"),
    "unreachable": changed("  - dense: 10", "  - dense: {units: 10, from: flatten_1}"),
    "init_of_nothing": changed("units: 32,", "units: 32, init: {kernal: he_normal},"),
    "init_of_a_wrong_shape": changed("units: 32,", "units: 32, init: {bias: [1, 2, 3]},"),
    "repeat_too_often": changed("units: 32,", "units: 32, repeat: 1000000000,"),
    "repeat_lists_differ": changed("dense: {units: 32,", "dense: {repeat: {units: [32, 16], bias: [true]},"),
    # shapes
    "window_too_large": changed("max_pool2d: 2", "max_pool2d: 9"),
    "residual_of_other_width": changed("      layers:\n        - conv_bn: {filters: $width}", "      layers:\n        - conv_bn: {filters: 12}"),
    "residual_of_other_size": changed("      layers:\n        - conv_bn: {filters: $width}", "      layers:\n        - conv_bn: {filters: $width, stride: 2}"),
    "conv_after_flatten": changed("  - flatten\n", "  - flatten\n  - conv2d: 8\n"),
    "reshape_does_not_fit": changed("  - flatten\n", "  - reshape: [7, 13]\n  - flatten\n"),
    "classes_differ": changed("  - dense: 10", "  - dense: 9"),
    "groups_do_not_divide": changed("padding: same, bias: false}", "padding: same, bias: false, groups: 4}"),
    # blocks and formulas
    "unknown_argument": changed("conv_bn: {filters: $width}", "conv_bn: {filters: $width, strid: 2}"),
    "missing_argument": changed("  - conv_bn: {filters: $width}", "  - conv_bn: {stride: 2}"),
    "unused_block": changed("layers:\n  - conv_bn: {filters: $width}", "  spare:\n    layers: [relu]\nlayers:\n  - conv_bn: {filters: $width}"),
    "block_without_layers": changed("    layers:\n      - conv2d", "    layer:\n      - conv2d"),
    "unknown_variable": changed("conv_bn: {filters: $width}", "conv_bn: {filters: $widht}"),
    "formula_too_large": changed("filters: $width}", 'filters: "$(9**9**9)"}'),
    "division_by_zero": changed("filters: $width}", 'filters: "$(width // 0)"}'),
    "formula_gives_a_fraction": changed("filters: $width}", 'filters: "$(width / 4)"}'),
    # loss, metrics, optimizer, schedule, data
    "foreign_loss": changed("loss: cross_entropy", "loss: categorical_crossentropy"),
    "loss_for_later": changed("loss: cross_entropy", "loss: perceptual"),
    "smoothing_of_one": changed("loss: cross_entropy", "loss: {cross_entropy: {smoothing: 1.0}}"),
    "weights_of_unknown_classes": changed("loss: cross_entropy", "loss: {cross_entropy: {class_weights: {'3': 2, three: 5}}}"),
    "too_few_class_weights": changed("loss: cross_entropy", "loss: {cross_entropy: {class_weights: [1, 2]}}"),
    "class_weights_is_a_word": changed("loss: cross_entropy", "loss: {cross_entropy: {class_weights: balance}}"),
    "value_with_a_target": changed("loss: cross_entropy", "loss: [cross_entropy, value: {target: digit}]"),
    "hinge_of_ten_classes": changed("loss: cross_entropy", "loss: hinge"),
    "hinge_after_sigmoid": changed("  - dense: 10", "  - dense: {units: 1, activation: sigmoid}").replace("loss: cross_entropy", "loss: hinge"),
    "kl_divergence_of_class_numbers": changed("loss: cross_entropy", "loss: kl_divergence"),
    "mse_of_ten_classes": changed("  - dense: 10", "  - dense: 1").replace("loss: cross_entropy", "loss: mse"),
    "dice_without_places": changed("loss: cross_entropy", "loss: dice"),
    "alpha_for_too_few": changed("loss: cross_entropy", "loss: {focal: {alpha: [0.5, 0.5]}}"),
    "two_outputs_and_a_loss_of_none": changed("units: 32,", "units: 32, name: features,").replace("loss: cross", "outputs: [features, dense_2]\nloss: cross"),
    "target_is_no_column": changed("loss: cross_entropy", "loss: {cross_entropy: {target: digits}}"),
    "number_is_no_class": changed("loss: cross_entropy", "loss: {cross_entropy: {target: 10}}"),
    "softmax_before_a_binary_loss": changed("  - dense: 10", "  - dense: {units: 10, activation: softmax}").replace("loss: cross", "loss: binary_cross"),
    "auc_of_numbers": "nnspec: 1\ninputs: {x: {shape: [4]}}\nlayers: [dense: 3]\nloss: mse\nmetrics: [auc]\n",
    "binary_average_of_ten_classes": changed("[accuracy]", "[f1: {average: binary}]"),
    "threshold_of_ten_classes": changed("[accuracy]", "[recall: {threshold: 0.3}]"),
    "threshold_above_one": changed("[accuracy]", "[recall: {threshold: 2}]"),
    "mae_of_ten_classes": changed("[accuracy]", "[mae]"),
    "foreign_metric": changed("[accuracy]", "[ROC_AUC]"),
    "metric_called_loss": changed("[accuracy]", "[accuracy: {name: loss}]"),
    "watch_a_table": changed("[accuracy]", "[confusion]").replace("epochs: 10", "epochs: 10\nearly_stopping: {patience: 3, watch: train.confusion}"),
    "block_with_parameters_as_a_loss": changed("loss: cross_entropy", "loss: conv_bn").replace("blocks:\n", "blocks:\n  own: {inputs: [y, t], layers: [dense: {units: 1, from: y}]}\n")
    .replace("loss: conv_bn", "loss: own"),
    "block_of_three_inputs_as_a_loss": changed("loss: cross_entropy", "loss: own").replace("blocks:\n", "blocks:\n  own: {inputs: [a, b, c], layers: [add: {from: [a, b, c]}]}\n"),
    "argument_called_weight_of_a_loss": changed("loss: cross_entropy", "loss: own").replace(
        "blocks:\n", 'blocks:\n  own: {args: {weight: 1.0}, inputs: [y, t], layers: [math: "y * $weight"]}\n'),
    "unknown_argument_of_a_loss": changed("loss: cross_entropy", "loss: {own: {scale: 2}}").replace("blocks:\n", "blocks:\n  own: {inputs: [y, t], layers: [subtract: {from: [y, y]}]}\n"),
    "metric_with_a_weight": changed("[accuracy]", "[accuracy: {weight: 2}]"),
    "foreign_key_of_a_loss": changed("loss: cross_entropy", "loss: {cross_entropy: {label_smoothing: 0.1}}"),
    "perceptron_without_step": changed("loss: cross_entropy", "loss: perceptron"),
    "misspelt_metric": changed("[accuracy]", "[acuracy]"),
    "foreign_rate": changed("learning_rate: 1e-3", "lr: 1e-3"),
    "negative_rate": changed("learning_rate: 1e-3", "learning_rate: -1"),
    "two_optimizers": changed("  adam: {learning_rate: 1e-3}", "  adam: {learning_rate: 1e-3}\n  sgd: {learning_rate: 0.1}"),
    "plateau_of_nothing": changed("schedule: {cosine: {warmup: 1}}", "schedule: {plateau: {watch: validation.f2, patience: 3}}"),
    "stretch_without_length": changed("schedule: {cosine: {warmup: 1}}", "schedule: [{cosine: {warmup: 1}}, {constant: 3}]"),
    "stretch_of_nobody": changed("schedule: {cosine: {warmup: 1}}", "schedule: [{constant: 3}, {epochs: 7, trainable: [conv_bm_1, residual_1/*]}]"),
    "bad_length": changed("warmup: 1", "warmup: 5 hours"),
    "unknown_data": changed("data: digits", "data: mnist_digits"),
    "missing_file": changed("data: digits", "data: {csv: {path: nowhere.csv, target: y}}"),
    "unknown_stratify": changed("data: digits", "data: {digits: {}, split: {train: 0.8, test: 0.2, stratify: digits}}"),
    "fractions_above_one": changed("data: digits", "data: {digits: {}, split: {train: 0.8, test: 0.3}}"),
    "augment_misspelt": changed("data: digits", "data: {digits: {}, augment: [flip: {direction: sideways}]}"),
    "augment_a_table": changed("data: digits", "data: {iris: {}, augment: [{RandomFlip: horizontal}, crop: 2]}"),
    "balance_of_numbers": changed("data: digits", "data: {iris: {}, balance: petal_width}"),
    "mixup_first": changed("data: digits", "data: {digits: {}, augment: [mixup: 0.2, rotate: 10]}"),
    "watch_nothing": changed("epochs: 10", "epochs: 10\nearly_stopping: {patience: 3, watch: validation.acuracy}"),
    "expect_of_nothing": changed("epochs: 10", 'epochs: 10\nexpect: {test.acuracy: ">= 0.9", parameter: "<= 1e5", accuracy: ">= 0.9"}'),
    "expect_of_a_table": changed("[accuracy]", "[accuracy, confusion]").replace("epochs: 10", 'epochs: 10\nexpect: {test.confusion: ">= 0.9"}'),
    "expect_without_rows": changed("epochs: 10", 'epochs: 10\nexpect: {validation.accuracy: ">= 0.9"}'),
    "expect_no_bound": changed("epochs: 10", 'epochs: 10\nexpect: {parameters: few, test.accuracy: "= 1", test.loss: true}'),
    "expect_in_strange_units": changed("epochs: 10", 'epochs: 10\nexpect: {memory: "<= 256mb", parameters: "<= 3MB", test.accuracy: ">= 98 percent"}'),
    "expect_lists_in_lists": changed("epochs: 10", 'epochs: 10\nexpect: {test.accuracy: [[">= 0.9"], ["<= 1"]]}'),
    "standardize_twice": changed("data: digits", "data: {iris: {}, prepare: [standardize: [petal_width, petal_width]]}"),
    "expect_unquoted": changed("epochs: 10", "epochs: 10\nexpect:\n  test.accuracy: >= 0.9"),
    "expect_is_a_list": changed("epochs: 10", 'epochs: 10\nexpect: [parameters: "<= 3"]'),
    "expect_metrics_in_a_mapping": changed("epochs: 10", 'epochs: 10\nexpect: {test: {accuracy: ">= 0.9"}}'),
    "loss_of_nothing": changed("loss: cross_entropy", "loss: []").replace("[accuracy]", "{}"),
    "checkpoint_of_the_last_watches": changed("epochs: 10", "epochs: 10\ncheckpoint: {keep: last, watch: train.accuracy}"),
    "checkpoint_is_a_list": changed("epochs: 10", "epochs: 10\ncheckpoint: [best]"),
    "early_stopping_misspelt": changed("epochs: 10", "epochs: 10\nearly_stopping: {patiense: 3, watch: train.loss}"),
    "sweep_of_what_is_not_there": changed("epochs: 10", "epochs: 10\nsweep: {over: {vars.widht: [1, 2], expect.memory: [1, 2]}, maximize: accuracy}"),
    "sweep_without_trials": changed("epochs: 10", "epochs: 10\nsweep: {over: {vars.width: {log: [1, 9]}}}"),
    "sweep_of_no_range": changed("epochs: 10", "epochs: 10\nsweep:\n  trial: 3\n  over:\n    vars.width: {uniform: [1, 9]}\n    batch_size: 8"),
    # names and what is left out
    "variable_with_a_dash": changed("vars: {width: 6}", "vars: {width: 6, batch-size: 3}"),
    "variable_called_and": changed("vars: {width: 6}", "vars: {width: 6, and: 3}"),
    "variable_below": changed("vars: {width: 6}", "vars: {width: $(2 * depth), depth: 3}"),
    "argument_called_input": changed("stride: 1}", "input: 1}").replace("stride: $stride", "stride: $input"),
    "counter_is_no_name": changed("units: 32,", "units: 32, repeat: {times: 2, as: größe},"),
    "data_of_the_data_themselves": changed("data: digits", "data: {digits: {}, split: {train: $(0.01 * data.digit.classes)}}").replace("dense: 10", "dense: $data.digit.classes"),
    "nothing_to_train": "nnspec: 1\ndata: digits\nlayers: [flatten, dense: {units: 10, trainable: false}]\nloss: cross_entropy\noptimizer: adam\nepochs: 1\n",
    "left_out_and_misspelt": changed("  - flatten\n", "  - residual: {when: false, layers: [dense: {unit: 3}, rellu]}\n  - flatten\n"),
    "block_called_linear": changed("blocks:\n", "blocks:\n  Linear: [relu]\n").replace("  - flatten\n", "  - Linear\n  - flatten\n"),
    "block_called_lstm": changed("blocks:\n", "blocks:\n  lstm: [relu]\n").replace("  - flatten\n", "  - lstm\n  - flatten\n"),
    "block_of_no_outputs": changed("blocks:\n", "blocks:\n  own: {outputs: [], layers: [relu]}\n").replace("  - flatten\n", "  - own\n  - flatten\n"),
    "block_with_an_output_twice": changed("blocks:\n", "blocks:\n  own: {outputs: [relu_1, relu_1], layers: [relu]}\n").replace("  - flatten\n", "  - own\n  - flatten\n"),
    "inputs_are_empty": "nnspec: 1\ninputs: {}\nlayers: [dense: 3]\n",
    # numbers that float32 does not hold
    "huge_slope": changed("activation: relu", "activation: {leaky_relu: 1e39}"),
    "huge_start": changed("units: 32,", "units: 32, init: {bias: 1e39},"),
    "huge_penalty": changed("units: 32,", "units: 32, regularize: {kernel: {l2: 1e39}},"),
    "huge_epsilon": changed("learning_rate: 1e-3", "epsilon: 1e39"),
    "huge_weight_of_a_loss": changed("loss: cross_entropy", "loss: {cross_entropy: {weight: 1e39}}"),
    "rate_of_its_own_beside_none": changed("dense: {units: 32", "dense: {units: 32, learning_rate: 0.01").replace("{learning_rate: 1e-3}", "{learning_rate: 0}"),
    "stratify_of_one_part": changed("data: digits", "data: {digits: {}, split: {stratify: digit}}"),
    "image_of_no_path": changed("data: digits", "data: {digits: {}, columns: {image: {image: {size: 4}}}}"),
    "columns_of_no_data": changed("data: digits", "inputs: {image: {shape: [8, 8, 1], columns: image}}"),
    "weights_are_a_column": changed("data: digits", "data: {digits: {}, sample_weight: weight}"),
    "ignored_class_misspelt": changed("loss: cross_entropy", "loss: {cross_entropy: {ignore: 10}}"),
    "ignore_index": changed("loss: cross_entropy", "loss: {cross_entropy: {ignore_index: 9}}"),
    "several_at_once": changed("units: 32, activation: relu", "units: 32, activation: rellu").replace("epochs: 10", "epochs: ten").replace("1e-3", "fast")
    .replace("dropout: 0.2", "Dropout: 0.2"),
}
