"""The console's pages: a module for each subject, which names its templates."""
