"""Results for people: terminal output, figures and the HTML report."""
