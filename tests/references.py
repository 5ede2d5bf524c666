"""Which test compares which transform with something that is not this package.

A library that has it too, NumPy, a paper's formula, or exact arithmetic. An architecture test asks
for every transform of the registry. While one of these tests runs, `tests.conftest` watches that a
pipeline with its transform is drawn or rendered: an entry cannot name a test of other things.
"""

_PILLOW = "tests/parity/test_pillow_pixels.py"
_POLICY = "tests/parity/test_policy_pixels.py"
_DISTORTION = "tests/parity/test_distortion_pixels.py"
_KERAS = "tests/parity/test_keras_pixels.py"
_UNIT = "tests/unit/test_pipelines_{}.py"
_ALBUMENTATIONS = "tests/parity/test_albumentations_pixels.py"
_USER = "tests/unit/test_user_code.py"
_GEOMETRY, _PHOTOMETRIC, _MIXING, _OCCLUSION, _MOVES, _COMPOSITION = map(
    _UNIT.format,
    ("geometry", "photometric", "mixing", "occlusion", "exact_moves", "composition"),
)

REFERENCES = {
    "albumentations": f"{_ALBUMENTATIONS}::test_pixels_are_those_of_albumentations",
    "augmix": f"{_POLICY}::test_augmix_is_its_chains_by_pillow_blended",
    "autocontrast": f"{_PILLOW}::test_autocontrast_is_pillows",
    "brightness": f"{_PHOTOMETRIC}::test_brightness_multiplies",
    "channel_shift": f"{_PHOTOMETRIC}::test_channel_shift_adds",
    "colour_jitter": f"{_PILLOW}::test_colour_jitter_is_made_of_pillows_enhancers",
    "contrast": f"{_PHOTOMETRIC}::test_contrast_spreads_about_mid_grey",
    "crop": f"{_GEOMETRY}::test_a_crop_is_a_slice",
    "cutmix": f"{_MIXING}::test_cutmix_rectangles_are_the_papers",
    "cutout": f"{_OCCLUSION}::test_a_cutout_is_the_papers_mask",
    "elastic": f"{_DISTORTION}::test_elastic_values_are_scipys_within_one_level",
    "equalize": f"{_PILLOW}::test_equalize_is_pillows",
    "erasing": f"{_OCCLUSION}::test_the_defaults_differ_from_the_paper_as_stated",
    "function": f"{_USER}::test_a_function_gets_the_image",
    "gamma": f"{_PHOTOMETRIC}::test_gamma_tables_are_correctly_rounded_powers",
    "gaussian_blur": f"{_PILLOW}::test_gaussian_blur_is_scipys",
    "gaussian_noise": (
        f"{_UNIT.format('noise')}::test_noise_is_the_definition_in_double_precision_rounded"
    ),
    "grey": f"{_PILLOW}::test_grey_is_pillows_l",
    "height_shift": f"{_KERAS}::test_float32_is_within_a_ten_thousandth_of_the_range",
    "horizontal_flip": f"{_GEOMETRY}::test_flips_are_numpys",
    "hue": f"{_PILLOW}::test_hue_is_that_of_colorsys",
    "invert": f"{_PILLOW}::test_invert_is_pillows",
    "jpeg_artefacts": f"{_UNIT.format('compression')}::test_artefacts_are_pillows",
    "keras_affine": (
        "tests/parity/test_keras_affine.py::test_a_drawn_step_is_keras_with_its_dictionary"
    ),
    "keras_brightness": f"{_PHOTOMETRIC}::test_keras_brightness_is_pillows",
    "keras_channel_shift": (
        f"{_PHOTOMETRIC}::test_keras_channel_shift_clips_to_the_images_own_range"
    ),
    "mixup": f"{_MIXING}::test_mixup_is_the_papers_formula",
    "one_of": f"{_COMPOSITION}::test_an_image_gets_the_step_that_was_chosen_for_it",
    "pad": f"{_MOVES}::test_padding_is_numpys",
    "perspective": f"{_DISTORTION}::test_perspective_is_pillows_within_one_level",
    "posterize": f"{_PILLOW}::test_posterize_is_pillows",
    "quarter_turn": f"{_MOVES}::test_a_quarter_turn_of_a_square_is_numpys",
    "rand_augment": f"{_POLICY}::test_every_operation_is_pillows",
    "resize": f"{_UNIT.format('resizing')}::test_resize_is_pillows_bilinear_within_a_level",
    "resized_crop": f"{_PILLOW}::test_a_resized_crop_is_scipys",
    "rotation": f"{_KERAS}::test_float32_is_within_a_ten_thousandth_of_the_range",
    "saturation": f"{_PILLOW}::test_saturation_is_pillows_color",
    "sequence": f"{_COMPOSITION}::test_a_sequence_that_always_happens_is_its_steps",
    "sharpness": f"{_PILLOW}::test_sharpness_is_pillows",
    "shear": f"{_KERAS}::test_float32_is_within_a_ten_thousandth_of_the_range",
    "solarize": f"{_PILLOW}::test_solarize_is_pillows",
    "trivial_augment": f"{_POLICY}::test_every_operation_is_pillows",
    "vertical_flip": f"{_GEOMETRY}::test_flips_are_numpys",
    "width_shift": f"{_KERAS}::test_float32_is_within_a_ten_thousandth_of_the_range",
    "zoom": f"{_KERAS}::test_float32_is_within_a_ten_thousandth_of_the_range",
}
"""By the transform's name in the registry, the test's file and function."""
