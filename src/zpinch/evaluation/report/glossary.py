"""What each number of a report means, in a sentence."""

GLOSSARY: tuple[tuple[str, str], ...] = (
    (
        "mse",
        "Mean squared error between the pixels of an image and its reconstruction, pixels counted from 0 to 1; 0 is "
        "the very same image.",
    ),
    ("PSNR", "The same error in decibels, -10 log10(mse): 20 dB is an mse of 0.01, every 10 dB more a tenth of it."),
    ("SSIM", "Structural similarity: how well local brightness, contrast and pattern agree; 1 is equal."),
    (
        "bits per image",
        "What the entropy coder writes for the code of an image, on average; eight bits are a byte, containers counted "
        "where a size is given in bytes.",
    ),
    (
        "sample FCD",
        "Frechet distance between the features of made and of real test images: how far the two crowds are apart, in "
        "what they look like and in how they vary.",
    ),
    (
        "floor",
        "The same distance between real training images and real test images. It is never zero for finite sets, so "
        "every distance here is a multiple of it, at the same number of images: 1 cannot be told from real. It falls "
        "as they grow, so that the same model stands at a larger multiple among more images.",
    ),
    ("rFCD", "Frechet distance between reconstructions and their originals, as a multiple of the floor."),
    (
        "kernel distance",
        "Another distance between crowds (KID) that is fair for few images; 0 on average when there is no difference.",
    ),
    ("precision", "Share of made images that lie among real ones, over the same share of real training images."),
    ("recall", "Share of real images that lie among made ones, over the same share of real training images."),
    (
        "nearest ratio",
        "How far made images are from their nearest training image, over how far unseen real images are; below 0.9 the "
        "model plays back what it has learned by heart.",
    ),
    (
        "break-even",
        "How many images an archive must hold before it is smaller than another format with the model counted in.",
    ),
    (
        "classes wrong",
        "Share of test images whose class the three training images nearest in some features get wrong: the class of "
        "two of the three, or of the nearest where all differ. Fewer is better.",
    ),
    (
        "false alarms",
        "Share of test images that are called odd though nothing is wrong with them; at most the promised share on "
        "average, if they are of the kind that the model was trained on. More than chance allows are found in 1 of 100 "
        "cases while that is so.",
    ),
    (
        "AUROC",
        "How often a spoilt image is found odder than an untouched one, both drawn at random; 1 is always, 0.5 is "
        "guessing.",
    ),
    (
        "error of missing pixels",
        "Mean squared error of the filled-in pixels alone, counted from 0 to 1; the known ones are given back as they "
        "are.",
    ),
    (
        "wins, loses, no different",
        "Two methods differ where the difference on the same images is above what chance alone would exceed in 5 of "
        "100 cases (Student's t).",
    ),
)
