"""What a service does by its role, apart from what every one does.

seeding     a member's file, before it is opened: of a backup, the archive and the log
ground      what the parts stand on, whatever the role
replicated  leading a log that others follow: a term of it
leadership  deciding commands and publishing what became of them
"""
