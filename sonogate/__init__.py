"""The command line, and what only the command line needs. Imports every other package.

Packages:
    commands: One module per subcommand.
    services: Processes of `sonogate up`.
    doctor: Checks of `sonogate doctor`.
    demo: Studies, demo PACS and results of `sonogate demo`.
    destination_test: Round trip of `sonogate destination test`.
    dataset_export: Training data from signed reviews.
    analyze: Analysis of files without services.
    files: Input files, and DICOM wrapping of images.
    training: Options and progress bars that the training commands share.
"""
