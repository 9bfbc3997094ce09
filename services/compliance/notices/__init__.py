"""Notice and action: notices of anybody about what is shown here, decisions about them, counter-notices and appeals, their deadlines, and reports.

It owns the cases, what notifiers wrote (sealed), the statements of reasons, and the count of upheld notices against each uploader.
"""
