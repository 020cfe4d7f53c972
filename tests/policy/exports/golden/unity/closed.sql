-- Copies that nobody may see: an earlier export may have opened them.
DROP TABLE IF EXISTS `p_masks`.`curated`.`filtered`;
DROP TABLE IF EXISTS `p_masks`.`curated`.`plain`;
DROP TABLE IF EXISTS `p_rows`.`curated`.`masked`;
DROP TABLE IF EXISTS `p_rows`.`curated`.`plain`;
DROP TABLE IF EXISTS `p_plain`.`curated`.`masked`;
DROP TABLE IF EXISTS `p_plain`.`curated`.`filtered`;
