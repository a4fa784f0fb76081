-- The same rows as public.impressions, loaded from the lake through Spectrum instead of from files. Same keys,
-- same reasons.

CREATE TABLE IF NOT EXISTS public.impressions_spectrum (LIKE public.impressions);
