"""An independent judge: generated cases of everything that computes, through the public interface, against PyTorch and scikit-learn."""
