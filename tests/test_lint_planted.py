"""One planted mistake a spec: the rule that knows it is reported on its line, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nnspec.compiler import load
from nnspec.errors import NnspecError
from nnspec.lint import lint
from nnspec.lint.rule import MARK

TABLE = """\
  inline:
    columns:
      length: [1.0, 1.2, 0.9, 3.0, 3.2, 2.9, 1.1, 3.1, 1.3, 2.7]
      width: [0.2, 0.4, 0.3, 0.8, 0.7, 0.9, 0.1, 0.6, 0.5, 1.0]
      price: [10.5, 12.0, 9.0, 31.0, 30.5, 28.0, 11.5, 33.0, 12.5, 27.5]
    target: price
"""
KINDS = TABLE.replace("price: [10.5, 12.0, 9.0, 31.0, 30.5, 28.0, 11.5, 33.0, 12.5, 27.5]", "kind: [a, b, a, c, c, b, a, c, a, b]").replace(
    "target: price", "target: kind")
CIFAR = "inputs: {image: {shape: [32, 32, 3]}}"

PLANTED = {
    "nine_units_for_ten_digits_in_a_block": ("NN001", """\
data: digits
blocks:
  head:
    args: {units: required}
    layers:
      - flatten
      - dense: {units: $units}     # <-
layers:
  - conv2d: {filters: 8, kernel: 3, activation: relu}
  - head: 9
loss: cross_entropy
"""),
    "two_units_of_two_outputs": ("NN001", f"""\
data:
{TABLE.replace("target: price", "target: [price, kind]").replace("      price:", "      kind: [a, b, a, c, c, b, a, c, a, b]" + chr(10) + "      price:")}
layers:
  - dense: {{units: 16, activation: relu, name: shared}}
  - dense: {{units: 1, name: price}}
  - dense:
      from: shared
      name: kind
      units: 2     # <-
outputs: [price, kind]
loss: [mse: {{from: price, target: price}}, cross_entropy: {{from: kind, target: kind}}]
"""),
    "softmax_over_one_unit_as_a_layer": ("NN002", """\
inputs: {features: {shape: [12]}}
layers:
  - dense: {units: 32, activation: relu}
  - dropout: 0.2
  - dense: 1
  - softmax     # <-
loss: mae
"""),
    "softmax_of_softmax_in_a_block": ("NN003", f"""\
{CIFAR}
blocks:
  answer:
    args: {{classes: 10}}
    layers:
      - dense: {{units: $classes, activation: softmax}}
      - activation: softmax     # <-
layers:
  - conv2d: {{filters: 16, kernel: 3, stride: 2, activation: relu}}
  - flatten
  - answer
loss: cross_entropy
"""),
    "sigmoid_behind_softmax": ("NN003", f"""\
{CIFAR}
layers:
  - conv2d: {{filters: 16, kernel: 3, stride: 2, activation: relu}}
  - flatten
  - dense: 10
  - softmax
  - sigmoid     # <-
loss: mse
"""),
    "relu_on_the_logits_by_an_activation_layer": ("NN004", f"""\
{CIFAR}
layers:
  - conv2d: {{filters: 16, kernel: 3, stride: 2, activation: relu}}
  - flatten
  - dense: {{units: 64, activation: relu}}
  - dense: 10
  - relu     # <-
loss: cross_entropy
"""),
    "tanh_before_softmax": ("NN004", f"""\
{CIFAR}
layers:
  - conv2d: {{filters: 16, kernel: 3, stride: 2, activation: relu}}
  - flatten
  - dense:
      units: 10
      activation: tanh     # <-
  - softmax
loss: cross_entropy
"""),
    "sigmoid_units_for_exclusive_classes": ("NN004", """\
data: digits
layers:
  - flatten
  - dense: {units: 32, activation: relu}
  - dense: {units: 10, activation: sigmoid}     # <-
loss: cross_entropy
metrics: [accuracy]
"""),
    "relu_before_a_binary_loss": ("NN004", """\
inputs: {features: {shape: [12]}}
layers:
  - dense: {units: 32, activation: relu}
  - dense: {units: 1, activation: relu}     # <-
loss: binary_cross_entropy
"""),
    "a_layer_that_is_forgotten": ("NN005", """\
inputs: {features: {shape: [12]}}
layers:
  - dense: {units: 32, activation: relu, name: wide}
  - dense: {units: 8, activation: relu, from: wide, name: narrow}     # <-
  - dense: {units: 3, from: wide}
loss: cross_entropy
"""),
    "mse_of_softmax": ("NN006", """\
inputs: {features: {shape: [12]}}
layers:
  - dense: {units: 32, activation: relu}
  - dense: 4
  - softmax
loss:
  - mse: {weight: 2.0}     # <-
"""),
    "sigmoid_for_prices": ("NN007", f"""\
data:
{TABLE}
layers:
  - dense: {{units: 16, activation: relu}}
  - dense: {{units: 8, activation: relu}}
  - dense: {{units: 1, activation: sigmoid}}     # <-
loss: mse
metrics: [mae]
"""),
    "relu_for_a_standardized_target": ("NN007", f"""\
data:
{TABLE}  prepare: [standardize: [length, width, price]]
layers:
  - dense: {{units: 16, activation: relu}}
  - dense: 1
  - relu     # <-
loss: huber
"""),
    "tanh_for_pixels_beyond_it": ("NN007", """\
data:
  digits: {}
  prepare: [rescale: {columns: image, scale: 16}, rescale: {columns: image, scale: 0.5}]
layers:
  - batch_norm
  - flatten
  - dense: {units: 32, activation: relu}
  - dense: {units: 64, activation: tanh}     # <-
  - reshape: [8, 8, 1]
loss: {mse: {target: image}}
"""),
    "sigmoid_for_pixels_from_minus_one": ("NN007", """\
data:
  digits: {}
  prepare: [rescale: {columns: image, scale: 2, offset: -1}]
layers:
  - flatten
  - dense: {units: 32, activation: relu}
  - dense: 64
  - sigmoid     # <-
  - reshape: [8, 8, 1]
loss: {mse: {target: image}}
"""),
    "accuracy_of_a_price": ("NN008", f"""\
data:
{TABLE}
layers:
  - dense: {{units: 16, activation: relu}}
  - dense: 1
loss: mae
metrics:
  - rmse
  - accuracy     # <-
"""),
    "an_auxiliary_loss_of_no_weight": ("NN010", """\
inputs: {features: {shape: [12]}}
layers:
  - dense: {units: 32, activation: relu, name: seen}
  - dense: {units: 3, name: class}
  - dense: {units: 12, from: seen, name: again}
outputs: [class, again]
loss:
  - cross_entropy: {from: class}
  - mse: {from: class, target: 0, weight: 0}     # <-
  - mse: {from: again, target: features, weight: 0.1}
"""),
    "two_dense_layers_with_dropout_between": ("NN011", f"""\
{CIFAR}
layers:
  - conv2d: {{filters: 16, kernel: 5, stride: 2, activation: relu}}
  - conv2d: {{filters: 16, kernel: 3, stride: 2, activation: relu}}
  - global_avg_pool2d
  - dense: {{units: 128}}     # <-
  - dropout: 0.3
  - dense: 10
loss: cross_entropy
"""),
    "convolutions_without_an_activation": ("NN011", f"""\
{CIFAR}
blocks:
  stage:
    args: {{filters: required}}
    layers:
      - conv2d: {{filters: $filters, kernel: 3, padding: same}}     # <-
      - conv2d: {{filters: $filters, kernel: 3, padding: same, activation: relu}}
      - max_pool2d: 2
layers:
  - stage: {{repeat: {{filters: [16, 32, 64]}}}}
  - global_avg_pool2d
  - dense: 10
loss: cross_entropy
"""),
    "a_bias_in_a_block_before_batch_norm": ("NN012", f"""\
{CIFAR}
blocks:
  unit:
    args: {{filters: required, stride: 1}}
    layers:
      - residual:
          layers:
            - conv2d: {{filters: $filters, kernel: 3, stride: $stride, padding: same, bias: false}}
            - batch_norm
            - relu
            - conv2d:     # <-
                filters: $filters
                kernel: 3
                padding: same
            - batch_norm
          shortcut:
            - conv2d: {{filters: $filters, kernel: 1, stride: $stride, bias: false}}
            - batch_norm
      - relu
layers:
  - unit: {{filters: 16, stride: 2}}
  - unit: {{filters: 32, stride: 2}}
  - unit: {{filters: 64, stride: 2}}
  - global_avg_pool2d
  - dense: 10
loss: cross_entropy
"""),
    "a_bias_that_is_written_before_a_pool_and_batch_norm": ("NN012", f"""\
{CIFAR}
layers:
  - conv2d: {{filters: 16, kernel: 3, padding: same, bias: true}}     # <-
  - max_pool2d: 2
  - batch_norm
  - relu
  - flatten
  - dense: {{units: 64, bias: false}}
  - batch_norm
  - relu
  - dense: 10
loss: cross_entropy
"""),
    "relu_behind_relu_through_a_pool": ("NN013", f"""\
{CIFAR}
layers:
  - conv2d: {{filters: 16, kernel: 3, activation: relu}}
  - max_pool2d: 2
  - relu     # <-
  - flatten
  - dense: 10
loss: cross_entropy
"""),
    "tanh_twice": ("NN013", """\
inputs: {features: {shape: [12]}}
layers:
  - dense: 32
  - activation: tanh
  - activation: tanh     # <-
  - dense: 1
loss: mse
"""),
    "softmax_in_the_middle": ("NN016", f"""\
{CIFAR}
layers:
  - conv2d: {{filters: 16, kernel: 3, stride: 2, activation: relu}}
  - flatten
  - dense: 64
  - softmax     # <-
  - dropout: 0.2
  - dense: 10
loss: cross_entropy
"""),
    "sigmoids_all_the_way": ("NN017", """\
inputs: {features: {shape: [12]}}
layers:
  - dense: {units: 32, activation: relu}
  - dense: 32
  - sigmoid     # <-
  - dense: {units: 32, activation: sigmoid}
  - dropout: 0.1
  - dense: {units: 32, activation: sigmoid, repeat: 3}
  - dense: 3
loss: cross_entropy
"""),
    "hidden_steps": ("NN014", """\
inputs: {features: {shape: [12]}}
layers:
  - dense: {units: 32, activation: step}     # <-
  - dense: {units: 1, activation: sigmoid}
loss: binary_cross_entropy
"""),
    "a_branch_behind_stop_gradient": ("NN014", """\
inputs: {features: {shape: [12]}}
layers:
  - branches:
      merge: concat
      paths:
        - [dense: {units: 8, activation: relu}]
        - - dense: {units: 8, activation: relu}
          - stop_gradient     # <-
  - dense: 3
loss: cross_entropy
"""),
    "an_output_without_a_loss": ("NN014", """\
inputs: {features: {shape: [12]}}
layers:
  - dense: {units: 32, activation: relu, name: seen}
  - dense: {units: 3, name: class}
  - dense: {units: 1, from: seen, name: age}     # <-
outputs: [class, age]
loss:
  - cross_entropy: {from: class}
"""),
    "kernels_of_zeros": ("NN015", """\
inputs: {features: {shape: [12]}}
layers:
  - dense:
      units: 32
      init: {kernel: 0}     # <-
  - relu
  - dense: 3
loss: cross_entropy
"""),
    "layers_of_one_number_each": ("NN015", """\
inputs: {features: {shape: [12]}}
layers:
  - dense: {units: 32, activation: tanh, init: {kernel: 0.5}}     # <-
  - dense: {units: 1, init: {kernel: ones}}
loss: mse
"""),
    "dropout_on_the_logits": ("NN021", f"""\
{CIFAR}
layers:
  - conv2d: {{filters: 16, kernel: 3, stride: 2, activation: relu}}
  - flatten
  - dense: {{units: 64, activation: relu}}
  - dropout: 0.5
  - dense: 10
  - dropout: 0.2     # <-
loss: cross_entropy
"""),
    "dropout_on_a_regression": ("NN021", f"""\
data:
{TABLE}
blocks:
  head:
    layers:
      - dense: {{units: 8, activation: relu}}
      - dense: 1
      - dropout: {{rate: 0.1}}     # <-
layers:
  - dense: {{units: 16, activation: relu}}
  - head
loss: mse
"""),
    "a_share_that_is_kept": ("NN022", f"""\
{CIFAR}
layers:
  - conv2d: {{filters: 16, kernel: 3, stride: 2, activation: relu}}
  - spatial_dropout: 0.85     # <-
  - flatten
  - dense: 10
loss: cross_entropy
"""),
    "dropout_right_before_batch_norm": ("NN023", f"""\
{CIFAR}
layers:
  - conv2d: {{filters: 16, kernel: 3, stride: 2, activation: relu}}
  - dropout: 0.3     # <-
  - batch_norm
  - flatten
  - dense: 10
loss: cross_entropy
"""),
    "batch_norm_of_single_rows": ("NN024", """\
data: iris
layers:
  - dense: {units: 16, bias: false}
  - batch_norm     # <-
  - relu
  - dense: 3
loss: cross_entropy
optimizer: {sgd: {learning_rate: 0.01}}
epochs: 10
batch_size: 1
"""),
    "decay_in_two_ways": ("NN025", """\
data: iris
layers:
  - dense:
      units: 16
      activation: relu
      regularize: {kernel: {l2: 1e-3}}     # <-
  - dense: 3
loss: cross_entropy
optimizer: {sgd: {learning_rate: 0.01, weight_decay: 1e-4}}
epochs: 10
"""),
    "a_rate_of_a_frozen_layer": ("NN026", """\
inputs: {features: {shape: [12]}}
layers:
  - dense:
      units: 32
      activation: relu
      trainable: false
      regularize: {kernel: {l1: 1e-4}}     # <-
  - dense: 3
loss: cross_entropy
"""),
    "two_norms": ("NN027", f"""\
{CIFAR}
blocks:
  conv_bn:
    args: {{filters: required}}
    layers:
      - conv2d: {{filters: $filters, kernel: 3, stride: 2, bias: false}}
      - batch_norm
layers:
  - conv_bn: 16
  - batch_norm     # <-
  - relu
  - flatten
  - dense: 10
loss: cross_entropy
"""),
    "a_mean_of_what_sees_little": ("NN031", """\
inputs: {image: {shape: [96, 96, 3]}}
blocks:
  conv_bn:
    args: {filters: required}
    layers:
      - conv2d: {filters: $filters, kernel: 3, padding: same, bias: false}
      - batch_norm
      - relu
layers:
  - conv_bn: {filters: 32, repeat: 4}
  - global_avg_pool2d     # <-
  - dense: 5
loss: cross_entropy
"""),
    "masks_from_textures": ("NN031", """\
inputs: {image: {shape: [128, 128, 3]}}
layers:
  - conv2d: {filters: 32, kernel: 3, padding: same, activation: relu, repeat: 3}
  - conv2d: {filters: 4, kernel: 1}     # <-
loss: cross_entropy
"""),
    "a_kernel_larger_than_its_map": ("NN032", f"""\
{CIFAR}
layers:
  - conv2d: {{filters: 16, kernel: 3, padding: same, activation: relu}}
  - max_pool2d: 4
  - conv2d: {{filters: 32, kernel: 3, padding: same, activation: relu}}
  - max_pool2d: 8
  - conv2d:
      filters: 32
      kernel: 5     # <-
      padding: same
      activation: relu
  - flatten
  - dense: 10
loss: cross_entropy
"""),
    "a_pool_that_steps_over": ("NN033", f"""\
{CIFAR}
layers:
  - conv2d: {{filters: 16, kernel: 3, padding: same, activation: relu}}
  - avg_pool2d: {{size: 2, stride: 3, padding: same}}     # <-
  - conv2d: {{filters: 32, kernel: 3, padding: same, activation: relu}}
  - flatten
  - dense: 10
loss: cross_entropy
"""),
    "a_third_of_the_image_left_out": ("NN034", """\
inputs: {image: {shape: [30, 30, 1]}}
layers:
  - conv2d: {filters: 16, kernel: 3, padding: same, activation: relu}
  - max_pool2d: 20     # <-
  - flatten
  - dense: 10
loss: cross_entropy
"""),
    "a_dense_layer_of_fifty_million": ("NN035", """\
inputs: {image: {shape: [128, 128, 3]}}
layers:
  - conv2d: {filters: 32, kernel: 3, padding: same, activation: relu}
  - conv2d: {filters: 64, kernel: 3, padding: same, activation: relu}
  - max_pool2d: 2
  - flatten
  - dropout: 0.5
  - dense: {units: 256, activation: relu}     # <-
  - dense: 10
loss: cross_entropy
"""),
    "years_and_areas": ("NN042", """\
data:
  csv:     # <-
    path: houses.csv
    target: price
layers:
  - dense: {units: 16, activation: relu}
  - dense: 1
loss: mse
optimizer: adam
epochs: 5
"""),
    "bytes_of_an_npz": ("NN041", """\
data:
  npz: {path: bytes.npz, target: kind}     # <-
  columns: {kind: category}
layers:
  - conv2d: {filters: 8, kernel: 3, activation: relu}
  - flatten
  - dense: 2
loss: cross_entropy
optimizer: adam
epochs: 5
"""),
    "whole_numbers_cast_to_floats": ("NN041", """\
inputs: {image: {shape: [28, 28, 1], dtype: int32}}
layers:
  - cast: float32     # <-
  - conv2d: {filters: 8, kernel: 3, activation: relu}
  - flatten
  - dense: 10
loss: cross_entropy
"""),
    "no_shuffle": ("NN043", """\
data:
  digits: {}
  split: {train: 0.8, validation: 0.2, stratify: digit}
  shuffle: false     # <-
layers:
  - flatten
  - dense: {units: 32, activation: relu}
  - dense: 10
loss: cross_entropy
optimizer: adam
epochs: 5
"""),
    "validation_from_the_training_file": ("NN044", """\
data:
  csv:
    path:
      train: houses.csv
      validation: ./houses.csv     # <-
    target: price
  prepare: [standardize]
layers:
  - dense: {units: 16, activation: relu}
  - dense: 1
loss: mse
optimizer: adam
epochs: 5
"""),
    "patterns_that_overlap": ("NN044", """\
data:
  csv: {path: {train: "h*.csv", test: "*s.csv"}, target: price}     # <-
  prepare: [standardize]
layers:
  - dense: {units: 16, activation: relu}
  - dense: 1
loss: mse
optimizer: adam
epochs: 5
"""),
    "an_embedding_of_too_few": ("NN047", f"""\
data:
{KINDS.replace("width: [0.2, 0.4, 0.3, 0.8, 0.7, 0.9, 0.1, 0.6, 0.5, 1.0]", "street: [oak, elm, ash, oak, elm, fir, fir, ash, elm, oak]")}
inputs: {{length: {{columns: length}}, street: {{columns: street}}}}
layers:
  - embedding: {{from: street, vocabulary: 3, units: 2, name: place}}     # <-
  - concat: {{from: [length, place]}}
  - dense: {{units: 16, activation: relu}}
  - dense: 3
loss: cross_entropy
"""),
    "adam_of_one": ("NN051", """\
data: iris
layers:
  - dense: {units: 16, activation: relu}
  - dense: 3
loss: cross_entropy
optimizer:
  adamw:
    learning_rate: 1     # <-
epochs: 10
"""),
    "sgd_of_a_hundred": ("NN051", """\
data: iris
layers:
  - dense: {units: 16, activation: tanh}
  - dense: 3
loss: cross_entropy
optimizer: {sgd: 100}     # <-
epochs: 10
"""),
    "sgd_with_momentum": ("NN051", """\
data: iris
layers:
  - dense: {units: 16, activation: relu}
  - dense: 3
loss: cross_entropy
optimizer:
  sgd: {learning_rate: 5.0, momentum: 0.9}     # <-
epochs: 10
"""),
    "a_rate_of_nothing": ("NN052", """\
data: iris
layers:
  - dense: {units: 16, activation: relu}
  - dense: 3
loss: cross_entropy
optimizer: {rmsprop: {learning_rate: 1e-12}}     # <-
epochs: 10
"""),
    "betas_the_other_way_round": ("NN053", """\
data: iris
layers:
  - dense: {units: 16, activation: relu}
  - dense: 3
loss: cross_entropy
optimizer:
  nadam: {learning_rate: 1e-3, beta1: 0.999, beta2: 0.9}     # <-
epochs: 10
"""),
    "a_decay_of_ten": ("NN054", """\
data: iris
layers:
  - dense: {units: 16, activation: relu}
  - dense: 3
loss: cross_entropy
optimizer:
  adamw:
    learning_rate: 0.01
    weight_decay: 10     # <-
epochs: 10
"""),
    "steps_behind_the_end": ("NN055", """\
data: iris
layers:
  - dense: {units: 16, activation: relu}
  - dense: 3
loss: cross_entropy
optimizer: {sgd: {learning_rate: 0.1}}
schedule:
  step: {every: 50, factor: 0.1}     # <-
epochs: 30
"""),
    "a_cosine_that_ends_early": ("NN056", """\
data: iris
layers:
  - dense: {units: 16, activation: relu}
  - dense: 3
loss: cross_entropy
optimizer: {sgd: {learning_rate: 0.1}}
schedule:
  linear:
    length: 40 steps     # <-
    warmup: 1
epochs: 60
"""),
    "a_warmup_in_steps_that_are_epochs": ("NN057", """\
data: iris
layers:
  - dense: {units: 16, activation: relu}
  - dense: 3
loss: cross_entropy
optimizer: {sgd: {learning_rate: 0.1}}
schedule: {constant: {warmup: 100}}     # <-
epochs: 60
"""),
    "a_plateau_that_waits_too_long": ("NN058", """\
data: {iris: {}, split: {train: 0.7, validation: 0.3}}
layers:
  - dense: {units: 16, activation: relu}
  - dense: 3
loss: cross_entropy
optimizer: {sgd: {learning_rate: 0.1}}
schedule: {plateau: {factor: 0.5, patience: 8}}     # <-
early_stopping: {patience: 8}
epochs: 60
"""),
    "an_average_over_more_than_the_run": ("NN059", """\
data: iris
layers:
  - dense: {units: 16, activation: relu}
  - dense: 3
loss: cross_entropy
optimizer: {adam: {average: 0.999}}     # <-
epochs: 20
batch_size: 16
"""),
    "a_patience_without_an_end": ("NN061", """\
data: {iris: {}, split: {train: 0.7, validation: 0.3}}
layers:
  - dense: {units: 16, activation: relu}
  - dense: 3
loss: cross_entropy
optimizer: adam
early_stopping:
  watch: validation.loss
  patience: 100     # <-
epochs: 60
"""),
    "a_checkpoint_by_training": ("NN062", """\
data: {iris: {}, split: {train: 0.7, validation: 0.3}}
layers:
  - dense: {units: 16, activation: relu}
  - dense: 3
loss: cross_entropy
metrics: [accuracy]
optimizer: adam
checkpoint: {keep: best, watch: train.accuracy}     # <-
epochs: 60
"""),
    "a_variable_that_nothing_reads": ("NN071", f"""\
{CIFAR}
vars:
  width: 16
  classes: 10     # <-
  depth: $(2 * width)
layers:
  - conv2d: {{filters: $depth, kernel: 3, stride: 2, activation: relu}}
  - flatten
  - dense: 10
loss: cross_entropy
"""),
    "a_cache_of_a_table": ("NN072", f"""\
data:
{KINDS}
  cache: 512MB     # <-
layers:
  - dense: {{units: 16, activation: relu}}
  - dense: 3
loss: cross_entropy
"""),
    "dropout_that_is_frozen": ("NN073", """\
inputs: {features: {shape: [12]}}
layers:
  - dense: {units: 32, activation: relu}
  - dropout:
      rate: 0.2
      trainable: false     # <-
  - dense: 3
loss: cross_entropy
"""),
    "eight_maps_pooled_for_seven_classes_of_an_npz": ("NN001", """\
data:
  npz: {path: seven.npz, target: label}
  columns: {label: category}
  prepare: [rescale: {columns: image, scale: 0.00392}]
layers:
  - conv2d: {filters: 16, kernel: 3, activation: relu, repeat: 2}
  - conv2d: {filters: 8, kernel: 1}     # <-
  - global_avg_pool2d
loss: cross_entropy
"""),
    "dropout_between_the_last_layer_and_softmax": ("NN021", """\
data: digits
layers:
  - flatten
  - dense: {units: 64, activation: relu}
  - dense: 10
  - dropout: 0.2     # <-
  - softmax
loss: cross_entropy
"""),
    "dropout_before_a_mean_that_is_the_output": ("NN021", """\
data: digits
layers:
  - conv2d: {filters: 16, kernel: 3, activation: relu, repeat: 2}
  - conv2d: {filters: 10, kernel: 1}
  - dropout: 0.3     # <-
  - global_avg_pool2d
loss: cross_entropy
"""),
    "dropout_of_probabilities": ("NN021", """\
inputs: {features: {shape: [8]}}
layers:
  - dense: {units: 16, activation: relu}
  - dense: {units: 1, activation: sigmoid}
  - dropout: 0.2     # <-
loss: binary_cross_entropy
"""),
    "a_product_with_a_constant_of_0": ("NN014", """\
data: digits
layers:
  - flatten
  - dense: {units: 32, activation: relu, name: hidden}
  - constant: {value: 0.0, name: nothing}
  - multiply: {from: [hidden, nothing]}     # <-
  - dense: 10
loss: cross_entropy
"""),
    "a_gate_of_a_block_whose_argument_is_0": ("NN014", """\
data: digits
blocks:
  gate:
    args: {by: 0.0}
    layers:
      - conv2d: {filters: 8, kernel: 3, padding: same}
      - math: "$by * x"     # <-
layers:
  - conv2d: {filters: 8, kernel: 3, padding: same, activation: relu}
  - residual: {layers: [gate]}
  - flatten
  - dense: 10
loss: cross_entropy
"""),
    "the_sign_of_a_hidden_layer": ("NN014", """\
data: digits
layers:
  - flatten
  - dense: {units: 32, activation: tanh}
  - math: "sign(x)"     # <-
  - dense: 10
loss: cross_entropy
"""),
    "relu_of_what_is_never_above_0": ("NN014", """\
data: digits
layers:
  - flatten
  - dense: {units: 32, activation: relu}
  - math: "-x"
  - relu     # <-
  - dense: 10
loss: cross_entropy
"""),
    "a_mean_by_axes_of_what_sees_little": ("NN031", """\
inputs: {image: {shape: [128, 128, 3]}}
layers:
  - conv2d: {filters: 16, kernel: 3, activation: relu, repeat: 2}
  - reduce_mean: {axes: [0, 1]}     # <-
  - dense: 4
loss: cross_entropy
"""),
    "a_pool_as_wide_as_the_image": ("NN031", """\
inputs: {image: {shape: [64, 64, 3]}}
layers:
  - conv2d: {filters: 16, kernel: 3, padding: same}
  - layer_norm
  - math: "x * sigmoid(x)"
  - conv2d: {filters: 16, kernel: 3, padding: same, activation: relu}
  - avg_pool2d: 64     # <-
  - flatten
  - dense: 4
loss: cross_entropy
"""),
    "validation_of_a_file_that_holds_training_rows": ("NN044", """\
data:
  csv:
    path:
      train: points/all.csv
      validation: points/some.csv     # <-
    target: y
layers: [{dense: {units: 8, activation: relu}}, dense: 1]
loss: mse
"""),
    "bytes_that_are_only_shifted": ("NN041", """\
data:
  npz: {path: seven.npz, target: label}     # <-
  columns: {label: category}
  prepare: [rescale: {columns: image, scale: 1, offset: -128}]
layers:
  - conv2d: {filters: 8, kernel: 3, activation: relu}
  - flatten
  - dense: 7
loss: cross_entropy
"""),
    "a_rate_at_which_the_last_bias_alone_swings_wider": ("NN051", f"""\
data:
{TABLE}
  prepare: [standardize: [length, width, price]]
layers: [{{dense: {{units: 16, activation: relu}}}}, dense: 1]
loss: mse
optimizer:
  sgd: {{learning_rate: 2}}     # <-
epochs: 5
batch_size: 4
"""),
    "a_schedule_that_rises_beyond_what_adam_survives": ("NN051", """\
data: digits
layers: [flatten, {dense: {units: 64, activation: relu}}, dense: 10]
loss: cross_entropy
optimizer: {adam: {learning_rate: 1e-3}}
schedule: {linear: {to: 5, length: 8}}     # <-
epochs: 8
"""),
    "a_layer_at_a_thousand_times_the_rate": ("NN051", """\
data: digits
layers:
  - flatten
  - dense: {units: 64, activation: relu}
  - dense: {units: 10, learning_rate: 1000x}     # <-
loss: cross_entropy
optimizer: {adam: {learning_rate: 1e-3}}
epochs: 8
"""),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data that some of the specs read."""
    path = tmp_path_factory.mktemp("planted")
    rows = [f"{50 + 3 * i},{1950 + 2 * i},{10.5 + i * 7 % 5}" for i in range(30)]
    (path / "houses.csv").write_text("area,built,price\n" + "\n".join(rows) + "\n")
    rng = np.random.default_rng(0)
    points = [f"{x:.3f},{y:.3f}" for x, y in rng.random((30, 2))]
    (path / "points").mkdir()
    for name, kept in (("all", points), ("some", points[3:15])):
        (path / "points" / f"{name}.csv").write_text("x,y\n" + "\n".join(kept) + "\n")
    np.savez(path / "bytes.npz", image=rng.integers(0, 256, (12, 8, 8, 1), dtype=np.uint8), kind=np.arange(12) % 2)
    np.savez(path / "seven.npz", image=rng.integers(0, 256, (28, 8, 8, 1), dtype=np.uint8), label=np.arange(28) % 7)
    return path


def found(path: Path) -> list[tuple[str, int]]:
    try:
        problems = lint(load(path))
    except NnspecError as e:
        problems = list(e.problems)
    return [(p.rule, p.place.line if p.place else 0) for p in problems]


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mistake_is_reported_on_its_line_and_nothing_else_is(name: str, folder: Path) -> None:
    rule, text = PLANTED[name]
    text = "nnspec: 1\n" + text
    line = [n for n, written in enumerate(text.splitlines(), 1) if written.rstrip().endswith(MARK)]
    path = folder / f"{name}.yaml"
    path.write_text(text)
    assert len(line) == 1 and found(path) == [(rule, line[0])]


def test_thirty_rules_and_more_are_planted() -> None:
    assert len({rule for rule, _ in PLANTED.values()}) >= 38 and len(PLANTED) >= 60


# Specs that are as they should be, near to what rules warn of.
GOOD = {
    "an_autoencoder_with_a_linear_code": """\
data: digits
layers:
  - flatten
  - dense: {units: 64, activation: relu}
  - dense: 8
  - dense: {units: 64, activation: relu}
  - dense: {units: 64, activation: sigmoid}
  - reshape: [8, 8, 1]
loss: {mse: {target: image}}
optimizer: adam
epochs: 10
""",
    "xor_by_squared_error_and_a_large_rate": """\
data: {inline: {columns: {x: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [0, 1, 1, 0]}, target: y}, columns: {y: number}}
layers:
  - dense: {units: 4, activation: sigmoid}
  - dense: {units: 1, activation: sigmoid}
loss: mse
metrics: [accuracy]
optimizer: {sgd: {learning_rate: 10, momentum: 0.9}}
epochs: 500
""",
    "a_network_for_photographs": f"""\
{CIFAR}
blocks:
  conv_bn:
    args: {{filters: required, stride: 1, activation: relu}}
    layers:
      - conv2d: {{filters: $filters, kernel: 3, stride: $stride, padding: same, bias: false}}
      - batch_norm
      - activation: $activation
  unit:
    args: {{filters: required, stride: 1, project: false}}
    layers:
      - residual:
          layers:
            - conv_bn: {{filters: $filters, stride: $stride}}
            - conv_bn: {{filters: $filters, activation: identity}}
          shortcut:
            - conv2d: {{when: $project, filters: $filters, kernel: 1, stride: $stride, bias: false}}
      - relu
layers:
  - conv_bn: 16
  - unit: {{filters: 16, repeat: 2}}
  - unit: {{filters: 32, stride: 2, project: true}}
  - unit: {{filters: 64, stride: 2, project: true}}
  - global_avg_pool2d
  - dropout: 0.2
  - dense: 10
loss: cross_entropy
optimizer: {{sgd: {{learning_rate: 3.2, momentum: 0.9, weight_decay: {{rate: 5e-5, only: kernels}}}}}}
schedule: {{cosine: {{warmup: 5}}}}
epochs: 90
batch_size: 8192
""",
    "a_gate_beside_the_places": f"""\
{CIFAR}
layers:
  - conv2d: {{filters: 16, kernel: 3, padding: same, activation: relu}}
  - branches:
      merge: multiply
      paths:
        - []
        - [global_avg_pool2d: {{keep: true}}, dense: {{units: 4, activation: relu}}, dense: {{units: 16, activation: sigmoid}}]
  - max_pool2d: 2
  - conv2d: {{filters: 32, kernel: 3, padding: same, activation: relu}}
  - max_pool2d: 2
  - flatten
  - dense: {{units: 10, activation: softmax}}
loss: cross_entropy
""",
    "words_and_a_few_of_them_decide": """\
inputs: {words: {shape: [200], dtype: int64}}
layers:
  - embedding: {vocabulary: 5000, units: 32, name: text}
  - branches:
      merge: concat
      paths:
        - [conv1d: {filters: 16, kernel: 3, activation: relu}, global_max_pool1d]
        - [conv1d: {filters: 16, kernel: 5, activation: relu}, global_max_pool1d]
  - dropout: 0.5
  - dense: {units: 1, activation: sigmoid}
loss: binary_cross_entropy
metrics: [accuracy]
optimizer: adam
""",
    "attention_by_hand": """\
inputs: {words: {shape: [12, 16]}}
layers:
  - dense: {units: 16, from: words, name: query}
  - dense: {units: 16, from: words, name: key}
  - dense: {units: 16, from: words, name: value}
  - matmul: {from: [query, key], transpose: true}
  - math: "x / 4"
  - softmax: {name: weights}
  - matmul: {from: [weights, value]}
  - dense: 16
  - add: {from: [dense_4, words], name: sum}
  - layer_norm
  - flatten
  - dense: 3
loss: cross_entropy
optimizer: {adamw: {learning_rate: 1e-3, weight_decay: 0.1}}
""",
    "a_head_that_begins_at_zero_and_a_branch_too": f"""\
{CIFAR}
layers:
  - conv2d: {{filters: 16, kernel: 3, stride: 2, padding: same, activation: relu}}
  - residual:
      layers:
        - conv2d: {{filters: 16, kernel: 3, padding: same, activation: relu}}
        - conv2d: {{filters: 16, kernel: 3, padding: same, init: {{kernel: zeros}}}}
  - relu
  - flatten
  - dense: {{units: 10, init: {{kernel: zeros}}}}
loss: cross_entropy
""",
    "a_frozen_part_and_a_head": """\
inputs: {features: {shape: [12]}}
layers:
  - dense: {units: 32, activation: relu, trainable: false}
  - dense: {units: 32, activation: relu, learning_rate: 0.1x, regularize: {kernel: {l1: 1e-5}}}
  - dense: 3
loss: cross_entropy
optimizer: {adam: {learning_rate: 1e-3}}
""",
    "an_adaptation_of_low_rank": """\
inputs: {features: {shape: [64]}}
layers:
  - branches:
      merge: add
      paths:
        - [dense: {units: 64, trainable: false}]
        - [dense: {units: 4, bias: false}, dense: {units: 64, bias: false, init: {kernel: zeros}}]
  - relu
  - dense: 3
loss: cross_entropy
""",
    "a_standardized_target_and_no_activation": f"""\
data:
{TABLE}  prepare: [standardize: [length, width, price]]
  split: {{train: 0.7, validation: 0.3}}
layers:
  - dense: {{units: 16, activation: relu}}
  - dense: 1
loss: mse
metrics: [mae, r2]
optimizer: {{adam: {{learning_rate: 0.05}}}}
schedule: {{plateau: {{patience: 5}}}}
early_stopping: {{patience: 20, watch: validation.mae}}
epochs: 200
""",
    "positive_numbers_behind_softplus": f"""\
data:
{TABLE}
layers:
  - dense: {{units: 16, activation: elu}}
  - dense: {{units: 1, activation: softplus}}
loss: huber
metrics: [rmse]
optimizer: {{adamax: {{learning_rate: 0.01}}}}
epochs: 50
""",
    "classes_that_come_together": """\
data:
  inline:
    columns: {x: [[0.1, 0.9], [0.7, 0.2], [0.4, 0.4], [0.8, 0.9]], sun: [0, 1, 0, 1], wind: [1, 1, 0, 0], rain: [1, 0, 0, 1]}
    target: [sun, wind, rain]
layers:
  - dense: {units: 8, activation: tanh}
  - dense: {units: 3, activation: sigmoid}
loss: binary_cross_entropy
metrics: [accuracy]
optimizer: {rmsprop: {learning_rate: 0.01}}
epochs: 50
""",
    "bytes_behind_batch_norm": """\
data:
  npz: {path: bytes.npz, target: kind}
  columns: {kind: category}
layers:
  - batch_norm: {scale: false, center: false}
  - conv2d: {filters: 8, kernel: 3, activation: relu}
  - flatten
  - dense: 2
loss: cross_entropy
optimizer: adam
epochs: 5
""",
    "bytes_that_are_rescaled_by_a_formula": """\
data:
  npz: {path: bytes.npz, target: kind}
  columns: {kind: category}
layers:
  - math: "x / 127.5 - 1"
  - conv2d: {filters: 8, kernel: 3, activation: relu}
  - flatten
  - dense: 2
loss: cross_entropy
optimizer: adam
epochs: 5
""",
    "a_series_in_its_order": """\
data:
  csv: {path: houses.csv, target: price}
  split: {train: 0.7, validation: 0.3, order: built}
  prepare: [standardize: area]
inputs: {area: {columns: area}}
layers:
  - dense: {units: 16, activation: relu}
  - dense: 1
loss: mse
optimizer: {sgd: {learning_rate: 0.001, momentum: 0.99}}
epochs: 5
""",
    "a_network_that_is_fully_convolutional": """\
inputs: {image: {shape: [64, 64, 3]}}
vars: {width: 8}
layers:
  - conv2d: {filters: $width, kernel: 3, padding: same, activation: relu, repeat: 2, name: fine}
  - max_pool2d: 2
  - conv2d: {filters: $(2 * width), kernel: 3, padding: same, activation: relu, repeat: 2}
  - conv_transpose2d: {filters: $width, kernel: 2, stride: 2, name: up}
  - concat: {from: [up, fine]}
  - conv2d: {filters: $width, kernel: 3, padding: same, activation: relu}
  - conv2d: {filters: 4, kernel: 1}
loss: [cross_entropy: {weight: 0.5}, dice: {weight: 0.5}]
metrics: [mean_iou]
optimizer: {nadam: {learning_rate: 2e-3, clip_norm: 1}}
""",
    "a_dense_layer_over_a_small_map": """\
inputs: {image: {shape: [28, 28, 1]}}
layers:
  - conv2d: {filters: 32, kernel: 3, activation: relu}
  - conv2d: {filters: 64, kernel: 3, activation: relu}
  - max_pool2d: 2
  - dropout: 0.25
  - flatten
  - dense: {units: 128, activation: relu}
  - dropout: 0.5
  - dense: {units: 10, activation: softmax}
loss: cross_entropy
metrics: [accuracy]
optimizer: {adadelta: {learning_rate: 1.0}}
batch_size: 128
""",
    "lenet_of_its_time": """\
inputs: {image: {shape: [32, 32, 1]}}
layers:
  - conv2d: {filters: 6, kernel: 5, activation: tanh}
  - avg_pool2d: 2
  - conv2d: {filters: 16, kernel: 5, activation: tanh}
  - avg_pool2d: 2
  - flatten
  - dense: {units: 120, activation: sigmoid}
  - dense: {units: 84, activation: sigmoid}
  - dense: 10
loss: cross_entropy
optimizer: {sgd: 0.5}
""",
    "inverted_bottlenecks": f"""\
{CIFAR}
blocks:
  inverted:
    args: {{filters: required, stride: 1}}
    layers:
      - conv2d: {{filters: "$(6 * input.shape[2])", kernel: 1, bias: false}}
      - batch_norm
      - relu6
      - depthwise_conv2d: {{kernel: 3, stride: $stride, padding: same, bias: false}}
      - batch_norm
      - relu6
      - conv2d: {{filters: $filters, kernel: 1, bias: false}}
      - batch_norm
layers:
  - conv2d: {{filters: 16, kernel: 3, padding: same, bias: false}}
  - batch_norm
  - relu6
  - inverted: {{filters: 24, stride: 2}}
  - residual: [inverted: 24]
  - inverted: {{filters: 32, stride: 2}}
  - conv2d: {{filters: 64, kernel: 1, bias: false}}
  - batch_norm
  - relu6
  - global_avg_pool2d
  - dense: 10
loss: {{cross_entropy: {{smoothing: 0.1}}}}
optimizer: {{rmsprop: {{learning_rate: 0.045, momentum: 0.9, epsilon: 1.0}}}}
schedule: {{exponential: {{factor: 0.98}}}}
epochs: 300
batch_size: 96
""",
    "two_views_of_one_weight": """\
inputs: {words: {shape: [10], dtype: int64}}
layers:
  - embedding: {vocabulary: 50, units: 16, name: tokens}
  - layer_norm
  - dense: {units: 32, activation: gelu}
  - dense: 16
  - layer_norm
  - matmul: {from: [layer_norm_2, tokens.embedding], transpose: true}
loss: cross_entropy
optimizer: {adam: {learning_rate: 1e-3, average: 0.99}}
""",
    "noise_inside_a_branch_that_is_added_to_the_output": """\
data: digits
layers:
  - flatten
  - dense: 10
  - residual: [{dense: {units: 10, activation: relu}}, {dropout: 0.2}, {dense: 10}]
loss: cross_entropy
""",
    "relu_of_a_turned_tanh_and_a_product_that_is_not_0": """\
data: digits
layers:
  - flatten
  - dense: {units: 32, activation: tanh}
  - math: "-x"
  - relu
  - math: "0.5 * x + 0 * 1"
  - dense: 10
loss: cross_entropy
""",
    "a_squared_error_just_inside_what_its_bias_survives": f"""\
data:
{TABLE}
  prepare: [standardize: [length, width, price]]
layers: [dense: 1]
loss: mse
optimizer: {{sgd: {{learning_rate: 1}}}}
epochs: 5
batch_size: 4
""",
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_nothing_is_reported_of_a_good_spec(name: str, folder: Path) -> None:
    path = folder / f"{name}.yaml"
    path.write_text("nnspec: 1\n" + GOOD[name])
    assert [p.render() for p in lint(load(path))] == []


def test_class_numbers_that_are_not_said_to_be_classes_are_hinted_at(folder: Path) -> None:
    path = folder / "numbers.yaml"
    path.write_text("nnspec: 1\ndata:\n  npz: {path: seven.npz, target: label}\nlayers: [flatten, dense: 7]\nloss: cross_entropy\n")
    with pytest.raises(NnspecError) as caught:
        load(path)
    assert "columns: {label: category}" in str(caught.value)
