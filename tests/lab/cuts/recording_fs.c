// A file system that passes everything on to a folder, and records each change and each sync, in order.
//
//   recording_fs -f -s MOUNTPOINT       with RECORDED_FOLDER and RECORDING in the environment
//
// A sync costs nothing here: what a disk would have after a power cut is worked out from the recording, by
// crash_states.py. One thread does all of it, so the recording has one order, and a request is answered only when it
// stands in there. Each record is a header of 48 bytes, then a name (two of a rename, with a zero behind each) or data.
#define FUSE_USE_VERSION 314
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

static int root;      // the folder that everything is passed on to
static int recording; // the file of records

struct __attribute__((packed)) header {
    uint64_t inode;  // the file; of changes of names, the folder
    uint64_t other;  // what a name stands for; the second folder of a rename
    uint64_t offset; // of a write; the size of a truncation; the mode of what is made
    uint64_t length; // of what follows
    uint32_t thread; // that asked
    uint32_t kind;
    uint64_t unused;
};

// The path below the root, which `…at` functions take.
static const char *below(const char *path) { return path[1] ? path + 1 : "."; }

static void record(char kind, uint64_t inode, uint64_t other, uint64_t offset, const void *data, size_t length) {
    struct fuse_context *context = fuse_get_context();
    struct header header = {inode, other, offset, length, context ? context->pid : 0, kind, 0};
    struct iovec parts[] = {{&header, sizeof header}, {(void *)data, length}};
    if (writev(recording, parts, 2) != (ssize_t)(sizeof header + length)) {
        // A recording that lacks something would blame the wrong one.
        perror("recording_fs: the recording cannot be written");
        abort();
    }
}

static uint64_t inode_at(const char *path) {
    struct stat found;
    return fstatat(root, below(path), &found, AT_SYMLINK_NOFOLLOW) ? 0 : found.st_ino;
}

static uint64_t inode_of(int descriptor) {
    struct stat found;
    return fstat(descriptor, &found) ? 0 : found.st_ino;
}

static uint64_t folder_of(const char *path) {
    char *folder = strndup(path, strrchr(path, '/') - path + 1);
    uint64_t inode = inode_at(folder);
    free(folder);
    return inode;
}

static void record_name(char kind, const char *path, uint64_t other, uint64_t mode) {
    const char *name = strrchr(path, '/') + 1;
    record(kind, folder_of(path), other, mode, name, strlen(name));
}

// Whoever asked is the owner, as on any file system: this process may be root's.
static void give(int descriptor) {
    struct fuse_context *context = fuse_get_context();
    if (fchown(descriptor, context->uid, context->gid)) {
        // It is not root's, and they are the same.
    }
}

static void *fs_init(struct fuse_conn_info *connection, struct fuse_config *configuration) {
    // A file that is open and deleted gets a name .fuse_hidden…, which recording.py takes for none.
    configuration->use_ino = configuration->nullpath_ok = 1;
    return NULL;
}

static int fs_getattr(const char *path, struct stat *found, struct fuse_file_info *info) {
    int failed = info ? fstat(info->fh, found) : fstatat(root, below(path), found, AT_SYMLINK_NOFOLLOW);
    return failed ? -errno : 0;
}

static int fs_access(const char *path, int mask) { return faccessat(root, below(path), mask, 0) ? -errno : 0; }

static int fs_opendir(const char *path, struct fuse_file_info *info) {
    int folder = openat(root, below(path), O_RDONLY | O_DIRECTORY);
    info->fh = folder;
    return folder < 0 ? -errno : 0;
}

static int fs_readdir(const char *path, void *buffer, fuse_fill_dir_t fill, off_t offset, struct fuse_file_info *info,
                      enum fuse_readdir_flags flags) {
    DIR *folder = fdopendir(openat(info->fh, ".", O_RDONLY | O_DIRECTORY));
    struct dirent *entry;
    if (!folder)
        return -errno;
    while ((entry = readdir(folder))) {
        struct stat found = {.st_ino = entry->d_ino, .st_mode = entry->d_type << 12};
        fill(buffer, entry->d_name, &found, 0, 0);
    }
    closedir(folder);
    return 0;
}

static int fs_release(const char *path, struct fuse_file_info *info) {
    close(info->fh);
    return 0;
}

static int fs_mkdir(const char *path, mode_t mode) {
    if (mkdirat(root, below(path), mode))
        return -errno;
    int folder = openat(root, below(path), O_RDONLY | O_DIRECTORY);
    if (folder >= 0) {
        give(folder);
        close(folder);
    }
    record_name('m', path, inode_at(path), mode);
    return 0;
}

static int fs_unlink(const char *path) {
    if (unlinkat(root, below(path), 0))
        return -errno;
    record_name('u', path, 0, 0);
    return 0;
}

static int fs_rmdir(const char *path) {
    if (unlinkat(root, below(path), AT_REMOVEDIR))
        return -errno;
    record_name('u', path, 0, 0);
    return 0;
}

static int fs_rename(const char *from, const char *to, unsigned int flags) {
    if (flags & ~RENAME_NOREPLACE)
        return -EINVAL;
    if (renameat2(root, below(from), root, below(to), flags))
        return -errno;
    const char *old_name = strrchr(from, '/') + 1, *new_name = strrchr(to, '/') + 1;
    size_t old_length = strlen(old_name) + 1, new_length = strlen(new_name) + 1;
    char *names = malloc(old_length + new_length);
    memcpy(names, old_name, old_length);
    memcpy(names + old_length, new_name, new_length);
    record('r', folder_of(from), folder_of(to), 0, names, old_length + new_length);
    free(names);
    return 0;
}

static int fs_link(const char *from, const char *to) {
    if (linkat(root, below(from), root, below(to), 0))
        return -errno;
    record_name('l', to, inode_at(to), 0);
    return 0;
}

static int fs_chmod(const char *path, mode_t mode, struct fuse_file_info *info) {
    if (info ? fchmod(info->fh, mode) : fchmodat(root, below(path), mode, 0))
        return -errno;
    record('p', info ? inode_of(info->fh) : inode_at(path), 0, mode & 07777, NULL, 0);
    return 0;
}

static int fs_chown(const char *path, uid_t user, gid_t group, struct fuse_file_info *info) {
    int failed = info ? fchown(info->fh, user, group) : fchownat(root, below(path), user, group, AT_SYMLINK_NOFOLLOW);
    return failed ? -errno : 0;
}

static int fs_utimens(const char *path, const struct timespec times[2], struct fuse_file_info *info) {
    int failed = info ? futimens(info->fh, times) : utimensat(root, below(path), times, AT_SYMLINK_NOFOLLOW);
    return failed ? -errno : 0;
}

// Appending is the caller's affair, which says where: `pwrite` would not listen.
static int flags_of(struct fuse_file_info *info) { return info->flags & ~(O_APPEND | O_DIRECT | O_SYNC | O_DSYNC); }

static int fs_create(const char *path, mode_t mode, struct fuse_file_info *info) {
    int is_new = inode_at(path) == 0, file = openat(root, below(path), flags_of(info) | O_CREAT, mode);
    if (file < 0)
        return -errno;
    info->fh = file;
    info->keep_cache = 1;
    if (is_new) {
        give(file);
        record_name('c', path, inode_of(file), mode);
    } else if (info->flags & O_TRUNC)
        record('t', inode_of(file), 0, 0, NULL, 0);
    return 0;
}

static int fs_open(const char *path, struct fuse_file_info *info) {
    int file = openat(root, below(path), flags_of(info));
    if (file < 0)
        return -errno;
    info->fh = file;
    // Pages that are mapped (SQLite's -shm) stay: nobody changes a file beside this.
    info->keep_cache = 1;
    if (info->flags & O_TRUNC)
        record('t', inode_of(file), 0, 0, NULL, 0);
    return 0;
}

static int fs_read(const char *path, char *buffer, size_t size, off_t offset, struct fuse_file_info *info) {
    ssize_t done = pread(info->fh, buffer, size, offset);
    return done < 0 ? -errno : done;
}

static int fs_write(const char *path, const char *data, size_t size, off_t offset, struct fuse_file_info *info) {
    ssize_t done = pwrite(info->fh, data, size, offset);
    if (done < 0)
        return -errno;
    record('w', inode_of(info->fh), 0, offset, data, done);
    // Opened with O_SYNC, a write is on disk when it returns.
    if (info->flags & (O_SYNC | O_DSYNC))
        record('s', inode_of(info->fh), 0, 0, NULL, 0);
    return done;
}

static int fs_truncate(const char *path, off_t size, struct fuse_file_info *info) {
    int file = info ? (int)info->fh : openat(root, below(path), O_WRONLY);
    int failed = file < 0 || ftruncate(file, size) ? -errno : 0;
    if (!failed)
        record('t', inode_of(file), 0, size, NULL, 0);
    if (!info && file >= 0)
        close(file);
    return failed;
}

static int fs_fallocate(const char *path, int mode, off_t offset, off_t length, struct fuse_file_info *info) {
    struct stat found;
    if (mode || fallocate(info->fh, mode, offset, length) || fstat(info->fh, &found))
        return mode ? -EOPNOTSUPP : -errno;
    record('t', found.st_ino, 0, found.st_size, NULL, 0);
    return 0;
}

static int fs_fsync(const char *path, int data_only, struct fuse_file_info *info) {
    record(data_only ? 'd' : 's', inode_of(info->fh), 0, 0, NULL, 0);
    return 0;
}

static int fs_fsyncdir(const char *path, int data_only, struct fuse_file_info *info) {
    record('s', inode_of(info->fh), 0, 0, NULL, 0);
    return 0;
}

static int fs_statfs(const char *path, struct statvfs *found) { return fstatvfs(root, found) ? -errno : 0; }

static const struct fuse_operations operations = {
    .init = fs_init, .getattr = fs_getattr, .access = fs_access, .opendir = fs_opendir, .readdir = fs_readdir,
    .releasedir = fs_release, .mkdir = fs_mkdir, .unlink = fs_unlink, .rmdir = fs_rmdir, .rename = fs_rename,
    .link = fs_link, .chmod = fs_chmod, .chown = fs_chown, .utimens = fs_utimens, .create = fs_create,
    .open = fs_open, .read = fs_read, .write = fs_write, .truncate = fs_truncate, .fallocate = fs_fallocate,
    .fsync = fs_fsync, .fsyncdir = fs_fsyncdir, .release = fs_release, .statfs = fs_statfs,
};

int main(int count, char **arguments) {
    const char *folder = getenv("RECORDED_FOLDER"), *file = getenv("RECORDING");
    root = folder ? open(folder, O_RDONLY | O_DIRECTORY) : -1;
    recording = file ? open(file, O_WRONLY | O_CREAT | O_EXCL | O_APPEND, 0600) : -1;
    if (root < 0 || recording < 0) {
        perror("recording_fs: RECORDED_FOLDER must be a folder, and RECORDING a new file");
        return 1;
    }
    umask(0);
    // Unmounted with whoever mounted it, however that one ends.
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    // The first record says which inode the root is.
    struct header header = {inode_of(root), 0, 0, 0, 0, 'm', 0};
    if (write(recording, &header, sizeof header) != sizeof header)
        return 1;
    return fuse_main(count, arguments, &operations, NULL);
}
