"""A pipeline of Albumentations in a module, as users keep theirs."""

import albumentations

compose = albumentations.Compose([
    albumentations.HorizontalFlip(p=0.5),
    albumentations.GaussNoise(p=1),
    albumentations.OneOf([albumentations.Blur(p=1), albumentations.RandomBrightnessContrast(p=1)],
                         p=0.9),
])  # fmt: skip
"""A pipeline of Albumentations under a name."""
