"""What this project costs, beside what else can be used. Run from the project's root."""
