// Made from the contract by `make gen`, never edited: one function for each method of the public API.
//
// getTrack({ track_id }) takes the fields of the request by their names in JSON and returns { method, path, body }:
// what is named in the path stands in it, the rest is the query, or the JSON body where the method has one. Sending it,
// with a token and an idempotency key where one is wanted, is the caller's; a stream of events is a GET like others.

const call = (method, path, posts) => (request = {}) => {
  const rest = { ...request };
  const place = path.replace(/{(\w+)}/g, (_, name) => {
    const value = rest[name];
    delete rest[name];
    if (value === undefined || value === "") throw new TypeError(`${name} is missing`);
    return encodeURIComponent(value);
  });
  if (posts) return { method, path: place, body: rest };
  const given = Object.entries(rest).filter(([, value]) => value !== undefined);
  const query = String(new URLSearchParams(given.flatMap(([name, value]) => [value].flat().map((one) => [name, one]))));
  return { method, path: query ? `${place}?${query}` : place };
};

// cadenza.auth.v1.CodeService
export const sendCode = call("POST", "/api/v1/verification/send", true);
export const verifyCode = call("POST", "/api/v1/verification/verify", true);
export const getCode = call("GET", "/api/v1/verification/{code_id}");
// cadenza.auth.v1.IdentityService
export const bindIdentity = call("POST", "/api/v1/auth/bindIdentity", true);
export const unbindIdentity = call("DELETE", "/api/v1/users/me/identities/{identity_id}");
// cadenza.auth.v1.SessionService
export const anonymousLogin = call("POST", "/api/v1/auth/anonymous", true);
export const wechatLogin = call("POST", "/api/v1/auth/wechat", true);
export const refreshSession = call("POST", "/api/v1/auth/refresh", true);
export const logout = call("POST", "/api/v1/auth/logout", true);
export const listSessions = call("GET", "/api/v1/users/me/sessions");
export const endSession = call("DELETE", "/api/v1/users/me/sessions/{session_id}");
export const endSessions = call("DELETE", "/api/v1/users/me/sessions");
export const getKeySet = call("GET", "/api/v1/auth/keys");
// cadenza.auth.v1.LoginService
export const register = call("POST", "/api/v1/auth/register", true);
export const login = call("POST", "/api/v1/auth/login", true);
export const appleLogin = call("POST", "/api/v1/auth/apple", true);
export const listLogins = call("GET", "/api/v1/users/me/login-logs");
// cadenza.auth.v1.MergeService
export const previewMerge = call("GET", "/api/v1/users/me/merges/{merge_id}");
export const confirmMerge = call("POST", "/api/v1/users/me/merges/{merge_id}/confirm", true);
export const undoMerge = call("POST", "/api/v1/users/me/merges/{merge_id}/undo", true);
// cadenza.auth.v1.NotificationService
export const listNotifications = call("GET", "/api/v1/notifications");
export const readNotifications = call("POST", "/api/v1/notifications/read", true);
export const readNotification = call("POST", "/api/v1/notifications/{notification_id}/read", true);
export const getNotificationPreferences = call("GET", "/api/v1/notification-preferences");
export const setNotificationPreferences = call("PUT", "/api/v1/notification-preferences", true);
// cadenza.auth.v1.PasswordService
export const changePassword = call("POST", "/api/v1/auth/password/change", true);
export const resetPassword = call("POST", "/api/v1/auth/password/reset", true);
// cadenza.auth.v1.UserService
export const getMe = call("GET", "/api/v1/users/me");
export const updateMe = call("PATCH", "/api/v1/users/me", true);
export const deleteMe = call("POST", "/api/v1/users/me/delete", true);
export const keepMe = call("POST", "/api/v1/users/me/delete-cancel", true);
// cadenza.composer.v1.DeadLetterService
export const listDeadLetters = call("GET", "/api/v1/admin/jobs/dead");
export const getDeadLetter = call("GET", "/api/v1/admin/jobs/dead/{job_id}");
export const requeueJob = call("POST", "/api/v1/admin/jobs/{job_id}/requeue", true);
export const dropJob = call("POST", "/api/v1/admin/jobs/{job_id}/drop", true);
// cadenza.composer.v1.ExportService
export const createExport = call("POST", "/api/v1/exports", true);
export const getExport = call("GET", "/api/v1/exports/{export_id}");
// cadenza.composer.v1.JobService
export const getJob = call("GET", "/api/v1/jobs/{job_id}");
export const listJobs = call("GET", "/api/v1/jobs");
export const watchJob = call("GET", "/api/v1/jobs/{job_id}/events");
export const listJobEvents = call("GET", "/api/v1/jobs/{job_id}/log");
export const cancelJob = call("POST", "/api/v1/jobs/{job_id}/cancel", true);
// cadenza.composer.v1.LyricsService
export const generateLyrics = call("POST", "/api/v1/ai/lyrics", true);
export const getLyrics = call("GET", "/api/v1/lyrics/{lyrics_id}");
export const watchLyrics = call("GET", "/api/v1/lyrics/{lyrics_id}/events");
export const listLyrics = call("GET", "/api/v1/lyrics");
export const deleteLyrics = call("DELETE", "/api/v1/lyrics/{lyrics_id}");
// cadenza.composer.v1.ModerationService
export const appealTrack = call("POST", "/api/v1/tracks/{track_id}/appeal", true);
export const getModeration = call("GET", "/api/v1/tracks/{track_id}/moderation");
export const listModerations = call("GET", "/api/v1/admin/moderation");
export const decideModeration = call("POST", "/api/v1/admin/moderation/{track_id}", true);
// cadenza.composer.v1.ShowcaseService
export const listTemplates = call("GET", "/api/v1/music/templates");
export const listBanners = call("GET", "/api/v1/music/banners");
export const putTemplate = call("PUT", "/api/v1/admin/templates/{template_id}", true);
export const deleteTemplate = call("DELETE", "/api/v1/admin/templates/{template_id}");
export const putBanner = call("PUT", "/api/v1/admin/banners/{banner_id}", true);
export const deleteBanner = call("DELETE", "/api/v1/admin/banners/{banner_id}");
// cadenza.composer.v1.TrackService
export const createTrack = call("POST", "/api/v1/tracks", true);
export const getTrack = call("GET", "/api/v1/tracks/{track_id}");
export const getTune = call("GET", "/api/v1/tracks/{track_id}/tune");
export const listTracks = call("GET", "/api/v1/tracks");
export const updateTrack = call("PATCH", "/api/v1/tracks/{track_id}", true);
export const deleteTrack = call("DELETE", "/api/v1/tracks/{track_id}");
export const restoreTrack = call("POST", "/api/v1/tracks/{track_id}/restore", true);
export const regenerateTrack = call("POST", "/api/v1/tracks/{track_id}/regenerate", true);
export const chooseVariant = call("POST", "/api/v1/tracks/{track_id}/choose", true);
// cadenza.composer.v1.TakeService
export const hearTake = call("GET", "/api/v1/assets/{asset_id}/tune");
// cadenza.composer.v1.WebhookService
export const createWebhook = call("POST", "/api/v1/webhooks", true);
export const getWebhook = call("GET", "/api/v1/webhooks/{webhook_id}");
export const listWebhooks = call("GET", "/api/v1/webhooks");
export const updateWebhook = call("PATCH", "/api/v1/webhooks/{webhook_id}", true);
export const deleteWebhook = call("DELETE", "/api/v1/webhooks/{webhook_id}");
export const rotateWebhookSecret = call("POST", "/api/v1/webhooks/{webhook_id}/rotate", true);
export const testWebhook = call("POST", "/api/v1/webhooks/{webhook_id}/test", true);
export const listWebhookDeliveries = call("GET", "/api/v1/webhooks/{webhook_id}/deliveries");
export const replayWebhookDelivery = call("POST", "/api/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/replay", true);
// cadenza.media.v1.AssetService
export const presignUpload = call("POST", "/api/v1/assets/audio/presign", true);
export const completeUpload = call("POST", "/api/v1/assets/{asset_id}/complete", true);
export const uploadAsset = call("POST", "/api/v1/assets/audio/upload", true);
export const getAsset = call("GET", "/api/v1/assets/{asset_id}");
export const listAssets = call("GET", "/api/v1/assets");
export const watchAsset = call("GET", "/api/v1/assets/{asset_id}/events");
export const listAssetEvents = call("GET", "/api/v1/assets/{asset_id}/log");
export const deleteAsset = call("DELETE", "/api/v1/assets/{asset_id}");
// cadenza.media.v1.ImageService
export const uploadImage = call("POST", "/api/v1/assets/image/upload", true);
export const getImage = call("GET", "/api/v1/assets/{asset_id}/image");
export const uploadFile = call("POST", "/api/file/upload", true);
// cadenza.media.v1.ResumableUploadService
export const createUpload = call("POST", "/api/v1/uploads", true);
export const getUpload = call("GET", "/api/v1/uploads/{asset_id}");
export const appendUpload = call("PATCH", "/api/v1/uploads/{asset_id}", true);
export const deleteUpload = call("DELETE", "/api/v1/uploads/{asset_id}");
// cadenza.media.v1.SliceService
export const createSlice = call("POST", "/api/v1/assets/{asset_id}/slices", true);
// cadenza.media.v1.WaveformService
export const getWaveform = call("GET", "/api/v1/assets/{asset_id}/waveform");
// cadenza.share.v1.ReportService
export const reportShare = call("POST", "/api/v1/reports", true);
export const listReports = call("GET", "/api/v1/admin/reports");
export const decideReports = call("POST", "/api/v1/admin/reports/{share_code}", true);
// cadenza.share.v1.ShareService
export const createShare = call("POST", "/api/v1/tracks/{track_id}/share", true);
export const resolveShare = call("GET", "/api/v1/shares/{share_code}");
export const unlockShare = call("POST", "/api/v1/shares/{share_code}/unlock", true);
export const playShare = call("POST", "/api/v1/shares/{share_code}/play", true);
export const listShares = call("GET", "/api/v1/shares");
export const updateShare = call("PATCH", "/api/v1/shares/{share_code}", true);
export const listPublicSongs = call("GET", "/api/v1/public/songs");
export const revokeShare = call("DELETE", "/api/v1/shares/{share_code}");
// cadenza.wallet.v1.CreditService
export const getBalance = call("GET", "/api/v1/wallet/balance");
export const listEntries = call("GET", "/api/v1/wallet/logs");
export const watchBalance = call("GET", "/api/v1/wallet/events");
export const getQuota = call("GET", "/api/v1/wallet/quota");
export const listPrices = call("GET", "/api/v1/wallet/prices");
// cadenza.wallet.v1.AdminService
export const adjustBalance = call("POST", "/api/v1/admin/wallet/adjust", true);
export const freezeWallet = call("POST", "/api/v1/admin/wallet/freeze", true);
export const unfreezeWallet = call("POST", "/api/v1/admin/wallet/unfreeze", true);
export const setPrice = call("POST", "/api/v1/admin/wallet/prices", true);
export const setQuota = call("POST", "/api/v1/admin/wallet/quotas", true);
export const setPlan = call("POST", "/api/v1/admin/wallet/plan", true);
export const listAudits = call("GET", "/api/v1/admin/wallet/audits");
